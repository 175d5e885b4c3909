//! The commands of a build, as plain data: what is built, pushed and named, with which bounds and surroundings. Decides
//! argument vectors and runs nothing.

use std::collections::BTreeMap;
use std::path::Path;

use naru_model::job::{Dockerfile, JobSpec};

use super::build::Tools;
use super::host::{self, BUNDLE_IN_CONTAINER, Surroundings};
use super::image::repository_at;
use super::supervise::{Argument, Ordered};
use super::{container, names};

/// Where the id of the image is written, in the job's folder.
pub(crate) const IMAGE: &str = "image";
/// Where the digest of the pushed image is written, in the job's folder.
pub(crate) const DIGEST: &str = "digest";
/// Where Docker's own list of digests is written.
pub(crate) const DIGESTS: &str = "digests";

/// The parts of [`naru_model::job::JobWork::Build`].
pub(crate) struct Parts<'a> {
    pub(crate) context: &'a str,
    pub(crate) dockerfile: &'a Dockerfile,
    pub(crate) arguments: &'a BTreeMap<String, String>,
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) push_to: &'a str,
}

/// Everything that the commands are made from.
pub(crate) struct Recipe<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) context: &'a Path,
    pub(crate) dockerfile: &'a Path,
    pub(crate) parts: &'a Parts<'a>,
    pub(crate) spec: &'a JobSpec,
    pub(crate) network: &'a str,
    pub(crate) instance: &'a str,
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) tools: &'a Tools,
}

impl Recipe<'_> {
    /// Build, and push by digest; the image gets its local name when the end is seen.
    pub(crate) fn podman(&self) -> Vec<Ordered> {
        let image = Argument::Written(self.folder.join(IMAGE));
        let mut build = texts(&["build", "--format", "docker", "--layers", "--pull=missing"]);
        build.extend(texts(&["--network", self.network]));
        build.extend(texts(&["--cpu-shares", &container::JOB_CPU_SHARES.to_string()]));
        build.extend(self.bounds());
        build.extend(self.certificates());
        build.extend(self.common());
        build.extend(texts(&["--", &self.context.display().to_string()]));

        let mut push = texts(&["push", "--digestfile", &self.file(DIGEST)]);
        push.extend(texts(&["--authfile", &self.folder.join("login/config.json").display().to_string()]));
        let ours = self.tools.registry.as_ref();
        if ours.is_some_and(|access| repository_at(self.parts.push_to, &access.host).is_some()) {
            push.extend(texts(&["--tls-verify=false"]));
        }
        push.extend(texts(&["--"]));
        push.push(image);
        push.push(Argument::Text(format!("docker://{}", self.parts.push_to)));

        vec![self.nice(build), self.nice(push)]
    }

    /// Build, name, push, and ask for the digests that the engine has noted. The host's certificate authorities and
    /// the CPU weight cannot be given to every version of Docker's builder; `capabilities` says so.
    pub(crate) fn docker(&self) -> Vec<Ordered> {
        let image = Argument::Written(self.folder.join(IMAGE));
        let mut build = texts(&["build"]);
        build.extend(self.common());
        for (name, value) in &self.surroundings.proxies {
            build.extend(texts(&["--build-arg", &format!("{name}={value}")]));
        }
        build.extend(texts(&["--", &self.context.display().to_string()]));
        let mut tag = texts(&["tag"]);
        tag.extend([image.clone(), Argument::Text(self.parts.push_to.to_owned())]);
        let push = texts(&["push", self.parts.push_to]);
        let mut ask = texts(&["image", "inspect", "--format", "{{range .RepoDigests}}{{println .}}{{end}}"]);
        ask.push(image);
        let mut ask = self.nice(ask);
        ask.output_to = Some(self.folder.join(DIGESTS));
        vec![self.nice(build), self.nice(tag), self.nice(push), ask]
    }

    fn common(&self) -> Vec<Argument> {
        let mut all = texts(&["--iidfile", &self.file(IMAGE)]);
        all.extend(texts(&["--file", &self.dockerfile.display().to_string()]));
        let own = (names::INSTANCE.to_owned(), self.instance.to_owned());
        let labels = self.parts.labels.iter().filter(|(name, _)| *name != names::INSTANCE);
        for (name, value) in labels.chain(std::iter::once((&own.0, &own.1))) {
            all.extend(texts(&["--label", &format!("{name}={value}")]));
        }
        for (name, value) in self.parts.arguments {
            all.extend(texts(&["--build-arg", &format!("{name}={value}")]));
        }
        all
    }

    fn bounds(&self) -> Vec<Argument> {
        let limits = self.spec.limits;
        let mut all = Vec::new();
        if limits.memory_bytes > 0 {
            all.extend(texts(&["--memory", &limits.memory_bytes.to_string()]));
        }
        if limits.cpu_millis > 0 {
            let quota = u64::from(limits.cpu_millis) * 100;
            all.extend(texts(&["--cpu-period", "100000", "--cpu-quota", &quota.to_string()]));
        }
        all
    }

    /// Known to the steps of the build and not to the image; `stages` declares the arguments.
    fn certificates(&self) -> Vec<Argument> {
        let Some(bundle) = &self.surroundings.certificates else { return Vec::new() };
        let mut all = texts(&["--volume", &format!("{}:{BUNDLE_IN_CONTAINER}:ro", bundle.display())]);
        for name in host::BUNDLE_VARIABLES {
            all.extend(texts(&["--build-arg", &format!("{name}={BUNDLE_IN_CONTAINER}")]));
        }
        all
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Compressing layers is done by the command itself, outside of any container's CPU weight.
    fn nice(&self, arguments: Vec<Argument>) -> Ordered {
        let program = self.tools.environment.program.clone();
        let Some(nice) = host::program("nice") else {
            return Ordered { program, arguments, output_to: None };
        };
        let mut all = texts(&["-n", "10", "--", &program.display().to_string()]);
        all.extend(arguments);
        Ordered { program: nice, arguments: all, output_to: None }
    }
}

fn texts(texts: &[&str]) -> Vec<Argument> {
    texts.iter().map(|text| Argument::Text((*text).to_owned())).collect()
}
