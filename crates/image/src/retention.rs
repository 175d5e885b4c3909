//! Which images are kept. Pure; removing is `collect`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;

use naru_model::{Digest, ProjectName, RepositoryName, TagName, Timestamp};
use naru_store::image_keep::KnownImage;

/// Digests that a project's kept releases and revisions need, or why they are not known now.
pub type NeededNow<'a> = Pin<Box<dyn Future<Output = Result<BTreeSet<Digest>, NeedUnknown>> + Send + 'a>>;

/// Says which images are needed. While it fails, nothing is removed.
pub trait NeededImages: Send + Sync + 'static {
    /// Digests that a kept release or revision of the project needs.
    fn needed<'a>(&'a self, project: &'a ProjectName) -> NeededNow<'a>;
}

/// It could not be found out what is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedUnknown(pub String);

impl fmt::Display for NeedUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image that may go.
pub type Droppable = (RepositoryName, Digest);

/// Plans which of a project's images go. An image stays when
/// * it is in `needed`,
/// * a person tagged it (only tags of the form `run-<n>` are Naru's own),
/// * it is among the `keep_last` newest that runs pushed to its repository,
/// * it was pushed at or after `young_since`, or
/// * an image that stays lists it (an index) or is its subject (a signature of it).
pub fn plan_retention(
    images: &[KnownImage],
    needed: &BTreeSet<Digest>,
    keep_last: usize,
    young_since: Timestamp,
) -> Vec<Droppable> {
    let mut by_repository: BTreeMap<&RepositoryName, Vec<&KnownImage>> = BTreeMap::new();
    for image in images {
        by_repository.entry(&image.repository.name).or_default().push(image);
    }
    let mut droppable = Vec::new();
    for (repository, mut images) in by_repository {
        images.sort_by_key(|image| (std::cmp::Reverse(image.pushed_at), &image.digest));
        let newest = images.iter().filter(|image| image.tags.iter().any(is_of_a_run)).take(keep_last);
        let mut kept: BTreeSet<&Digest> = newest.map(|image| &image.digest).collect();
        kept.extend(images.iter().filter_map(|image| {
            let stays = needed.contains(&image.digest)
                || image.tags.iter().any(|tag| !is_of_a_run(tag))
                || image.pushed_at >= young_since;
            stays.then_some(&image.digest)
        }));
        keep_what_belongs(&images, &mut kept);
        let gone = images.iter().filter(|image| !kept.contains(&image.digest));
        droppable.extend(gone.map(|image| (repository.clone(), image.digest.clone())));
    }
    droppable
}

/// Keeps what a kept index lists and what refers to a kept image, until nothing is added any more.
fn keep_what_belongs<'a>(images: &[&'a KnownImage], kept: &mut BTreeSet<&'a Digest>) {
    loop {
        let before = kept.len();
        for image in images {
            if image.subject.as_ref().is_some_and(|subject| kept.contains(subject)) {
                kept.insert(&image.digest);
            }
            if kept.contains(&image.digest) {
                kept.extend(&image.lists);
            }
        }
        if kept.len() == before {
            return;
        }
    }
}

/// Whether a tag is one that a run gives: `run-<n>`.
fn is_of_a_run(tag: &TagName) -> bool {
    let number = tag.as_str().strip_prefix("run-");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use naru_store::image::Repository;
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn image(name: u8, tags: &[&str], pushed: i64) -> KnownImage {
        KnownImage {
            repository: Repository { project: "shop".parse().unwrap(), name: "web".parse().unwrap() },
            digest: Digest::of(&[name]),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            lists: BTreeSet::new(),
            subject: None,
            pushed_at: at(pushed),
        }
    }

    fn dropped(images: &[KnownImage], needed: &[u8], keep_last: usize) -> Vec<u8> {
        let needed = needed.iter().map(|name| Digest::of(&[*name])).collect();
        let gone = plan_retention(images, &needed, keep_last, at(1000));
        let gone: BTreeSet<&Digest> = gone.iter().map(|(_, digest)| digest).collect();
        (0..30).filter(|name| gone.contains(&Digest::of(&[*name]))).collect()
    }

    #[test]
    fn the_newest_runs_and_what_is_needed_stay() {
        let images: Vec<_> = (1..=6).map(|n| image(n, &[&format!("run-{n}")], i64::from(n))).collect();
        assert_eq!(dropped(&images, &[2], 3), [1, 3]);
        assert_eq!(dropped(&images, &[], 0), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_a_person_tagged_stays() {
        let images = [image(1, &["v1"], 1), image(2, &["run-2", "stable"], 2), image(3, &["run-x"], 3)];
        assert_eq!(dropped(&images, &[], 0), [] as [u8; 0]);
    }

    #[test]
    fn what_lost_its_tag_goes_unless_it_is_young() {
        assert_eq!(dropped(&[image(1, &[], 1), image(2, &[], 1000)], &[], 5), [1]);
    }

    #[test]
    fn an_index_keeps_what_it_lists_and_an_image_its_signatures() {
        let mut index = image(1, &["v1"], 1);
        index.lists = BTreeSet::from([Digest::of(&[2])]);
        let (listed, mut signature, mut of_signature) =
            (image(2, &[], 1), image(3, &[], 1), image(4, &[], 1));
        signature.subject = Some(Digest::of(&[2]));
        of_signature.subject = Some(Digest::of(&[3]));
        let mut stray = image(5, &[], 1);
        stray.subject = Some(Digest::of(&[9]));
        assert_eq!(dropped(&[of_signature, signature, listed, index, stray], &[], 0), [5]);
    }

    #[test]
    fn each_repository_keeps_its_own_newest() {
        let mut other = image(2, &["run-1"], 1);
        other.repository.name = "api".parse().unwrap();
        assert_eq!(dropped(&[image(1, &["run-2"], 2), other], &[], 1), [] as [u8; 0]);
    }

    proptest! {
        #[test]
        fn what_is_needed_never_goes(
            pushed in proptest::collection::vec((0..2000_i64, 0..3_usize), 0..30),
            needed in proptest::collection::btree_set(0..30_u8, 0..10),
            keep_last in 0..10_usize,
        ) {
            let tags: [&[&str]; 3] = [&[], &["run-7"], &["v1"]];
            let images: Vec<_> = (0..).zip(&pushed).map(|(n, (at, tag))| image(n, tags[*tag], *at)).collect();
            let needed: Vec<u8> = needed.into_iter().collect();
            let gone = dropped(&images, &needed, keep_last);
            prop_assert!(gone.iter().all(|name| !needed.contains(name)));
            for name in gone {
                let image = &images[usize::from(name)];
                prop_assert!(image.pushed_at < at(1000) && !image.tags.contains(&"v1".parse().unwrap()));
            }
        }
    }
}
