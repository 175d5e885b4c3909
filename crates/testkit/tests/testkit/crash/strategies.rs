//! Releases that do not get all the traffic at once: a canary that is promoted by its steps, and previews of which a person
//! promotes one and gives another up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use naru_model::effect::Unobserved;
use naru_model::rollout::Decision;
use naru_model::{ProjectName, RevisionNumber};
use naru_store::revision::Outcome;
use naru_testkit::rig::{Rig, World};

use super::Story;
use super::end::End;
use crate::story::{MINUTE, production};
use crate::strategy::visit;

/// Enough for new replicas to be ready, and less than anything that is waited for without a person.
const MEANWHILE: Duration = Duration::from_secs(15);

/// A world in which release one of this definition is live, and release two waits to be delivered.
async fn second_release(definition: &str) -> World {
    let world = World::default();
    let rig = Rig::start(&world, Arc::new(Unobserved)).await;
    let project = rig.create_project("shop").await;
    rig.release(&project, definition, "one").await;
    rig.settle(MINUTE).await;
    rig.release(&project, definition, "two").await;
    world
}

fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

/// Two steps, each judged by what the visitors meanwhile were answered.
struct Canary;

impl Story for Canary {
    async fn begin(&self) -> World {
        second_release(
            "service: { build: {}, port: 8080, replicas: 2, strategy: \
             { canary: { steps: [10%, 50%], pause: 5s, analysis: errors < 1% and requests >= 20 } } }",
        )
        .await
    }

    async fn tell(&self, rig: &Rig) {
        visit(rig, &production(&shop()), Duration::from_secs(30), None).await;
        rig.settle(2 * MINUTE).await;
        rig.go_on(MINUTE, |_| ()).await; // what was replaced is kept for a while
    }

    fn check(&self, end: &End) {
        assert_eq!(end.serving, Some(RevisionNumber(2)));
        assert_eq!(end.outcomes, [(2, Outcome::Live), (1, Outcome::Live)]);
        assert_eq!(end.replicas, [("web".to_owned(), 2, 0), ("web".to_owned(), 2, 1)]);
    }
}

/// Two previews.
struct Previews;

impl Previews {
    /// Gives a preview time to stand, and says what is to become of it; nothing when that was said and done before.
    async fn decide(rig: &Rig, revision: u32, decision: &Decision) {
        rig.go_on(MEANWHILE, |_| ()).await;
        rig.store.decide(&production(&shop()), RevisionNumber(revision), decision).await.unwrap();
        rig.go_on(MEANWHILE, |_| ()).await;
    }
}

impl Story for Previews {
    async fn begin(&self) -> World {
        second_release(
            "service: { build: {}, port: 8080, strategy: { blue-green: { keep: 1m, promote: manual } } }",
        )
        .await
    }

    async fn tell(&self, rig: &Rig) {
        let key = production(&shop());
        if rig.serving(&key).await == Some(RevisionNumber(1)) {
            Self::decide(rig, 2, &Decision::Promote { by: "mina".into() }).await;
        }
        rig.go_on(MEANWHILE, |_| ()).await;
        if rig.store.revisions(&key, 10).await.unwrap().len() < 3 {
            let set = BTreeMap::from([("COLOUR".parse().unwrap(), Some("green".to_owned()))]);
            rig.store.change_configuration(&key, &set, "mina").await.unwrap();
        }
        Self::decide(rig, 3, &Decision::Abort { by: "mina".into() }).await;
        rig.settle(2 * MINUTE).await;
        rig.go_on(2 * MINUTE, |_| ()).await; // longer than what was replaced is kept
    }

    fn check(&self, end: &End) {
        assert_eq!(end.serving, Some(RevisionNumber(2)));
        assert_eq!(end.outcomes, [(3, Outcome::Failed), (2, Outcome::Live), (1, Outcome::Live)]);
        assert_eq!(end.quarantined, [3]);
        assert_eq!(end.replicas, [("web".to_owned(), 2, 0)]);
        assert_eq!(end.routes, [("shop.localhost".to_owned(), 1)], "no preview is left");
    }
}

mod canary {
    crate::crash::crashes!(super::Canary);
}

mod previews {
    crate::crash::crashes!(super::Previews);
}
