//! Several processes on one store: the lease says who acts, and who lost it acts no more.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use naru_delivery::{reconcile, render};
use naru_model::RevisionNumber;
use naru_model::effect::{Effects, Moment, Unobserved};
use naru_model::rollout::Status;
use naru_store::environment::EnvironmentStatus;
use naru_store::lease::LASTS;
use naru_store::{Look, StoreError};
use naru_testkit::rig::{Rig, World};
use tokio::sync::Notify;

use crate::story::{MINUTE, WEB, production, replicas};

/// Remembers what was done to engine and edge, and waits before the first effect of a name.
#[derive(Default)]
struct Watched {
    seen: Mutex<Vec<String>>,
    pause_at: Mutex<Option<&'static str>>,
    reached: Notify,
    go_on: Notify,
}

impl Watched {
    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Effects for Watched {
    fn at<'a>(&'a self, moment: Moment, name: &'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let outside = name.starts_with("engine.") || name.starts_with("traffic.");
            if moment == Moment::After || !outside {
                return;
            }
            self.seen.lock().unwrap().push(name.to_owned());
            let pause = self.pause_at.lock().unwrap().take_if(|at| *at == name).is_some();
            if pause {
                self.reached.notify_one();
                self.go_on.notified().await;
            }
        })
    }
}

#[tokio::test]
async fn of_two_that_race_one_acts() {
    let world = World::default();
    let (one, two) = (Arc::new(Watched::default()), Arc::new(Watched::default()));
    let first = Rig::start(&world, one.clone()).await;
    let second = Rig::beside(&world, two.clone()).await;
    let project = first.create_project("shop").await;
    let key = production(&project);
    for (number, content) in [(1, "one"), (2, "two"), (3, "three")] {
        first.release(&project, WEB, content).await;
        let everywhere = Look::Everywhere;
        let (a, b) = tokio::join!(
            render::pass(&first.delivery, &everywhere),
            render::pass(&second.delivery, &everywhere)
        );
        assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
        assert_eq!(first.store.revisions(&key, 10).await.unwrap().len(), number);
        let end = naru_model::Clock::now(&*world.clock) + MINUTE;
        loop {
            let (a, b) = tokio::join!(
                reconcile::reconcile(&first.delivery, &key),
                reconcile::reconcile(&second.delivery, &key)
            );
            for look in [a, b] {
                assert!(matches!(look, Ok(_) | Err(StoreError::Stale(_))), "{look:?}");
            }
            let environment = first.store.environment(&key).await.unwrap().unwrap();
            let live = EnvironmentStatus::Reconciled { status: Status::Live };
            let serving = environment.serving.map(|serving| serving.0 as usize);
            if environment.status == live && serving == Some(number) {
                break;
            }
            assert!(naru_model::Clock::now(&*world.clock) < end, "{:?}", environment.status);
            world.clock.advance(Duration::from_millis(200));
        }
    }
    assert_eq!(replicas(&world, &key), ["web-3-0", "web-3-1"]);
    let acted = [one.seen(), two.seen()];
    assert_eq!(acted.iter().filter(|seen| seen.is_empty()).count(), 1, "{acted:?}");
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn who_lost_the_lease_during_an_effect_makes_no_other() {
    let world = World::default();
    let slow = Arc::new(Watched::default());
    let first = Rig::start(&world, slow.clone()).await;
    let project = first.create_project("shop").await;
    let key = production(&project);
    first.release(&project, WEB, "one").await;
    render::pass(&first.delivery, &Look::Everywhere).await.unwrap();
    *slow.pause_at.lock().unwrap() = Some("engine.start");
    let late = async {
        assert_eq!(
            reconcile::reconcile(&first.delivery, &key).await.unwrap(),
            Duration::ZERO,
            "it takes the lease"
        );
        reconcile::reconcile(&first.delivery, &key).await
    };
    let others = async {
        slow.reached.notified().await;
        let second = Rig::beside(&world, Arc::new(Unobserved)).await;
        let look = reconcile::reconcile(&second.delivery, &key).await.unwrap();
        assert!(look > Duration::ZERO);
        assert_eq!(replicas(&world, &key), Vec::<String>::new(), "another has the lease");
        world.clock.advance(LASTS);
        second.settle(MINUTE).await;
        second.release(&project, WEB, "two").await;
        second.settle(MINUTE).await;
        assert_eq!(second.serving(&key).await, Some(RevisionNumber(2)));
        slow.go_on.notify_one();
        second
    };
    let (late, second) = tokio::join!(late, others);
    assert!(matches!(late, Err(StoreError::Stale(_))), "{late:?}");
    assert_eq!(slow.seen(), ["engine.start"], "two replicas were planned; only the call under way was made");
    second.settle(MINUTE).await;
    assert_eq!(replicas(&world, &key), ["web-2-0", "web-2-1"], "what the late call made is gone");
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}
