//! A recorded story is told again with a crash before and after each of its effects. After a cold restart it must end the
//! same, with no orphan, nothing done twice that must not be, and no route to what is not ready.

mod end;
mod pushes;
mod strategies;

use std::sync::Arc;

use naru_testkit::crash::CrashAt;
use naru_testkit::rig::{Rig, World};

use end::{End, end};

/// What is told until it is cut off, and then again by the next life.
trait Story {
    /// Where it begins: the same each time.
    async fn begin(&self) -> World;

    /// Tells it. Can be begun again at any point: each part first looks whether it was done.
    async fn tell(&self, rig: &Rig);

    /// What the end must be like when nothing was cut off.
    fn check(&self, end: &End);
}

/// One life of the process: when it is over, nothing of it goes on.
fn live<T>(life: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(life)
}

/// A life that tells the story to its end.
fn tell(story: &impl Story, world: &World, effects: Arc<CrashAt>) -> End {
    live(async {
        let rig = Rig::start(world, effects).await;
        story.tell(&rig).await;
        end(&rig).await
    })
}

/// A life that ends at the given side of an effect, and the next one, which finishes the story.
fn crash_and_finish(story: &impl Story, index: usize) -> (World, End) {
    let world = live(story.begin());
    live(async {
        let crash = Arc::new(CrashAt::point(index + 1));
        let begun = async {
            let rig = Rig::start(&world, crash.clone()).await;
            story.tell(&rig).await;
        };
        tokio::select! {
            () = crash.crashed() => {}
            () = begun => panic!("effect {index} was not reached again"),
        }
    });
    let reached = tell(story, &world, Arc::new(CrashAt::never()));
    (world, reached)
}

/// Tests run side by side; one after the other the crashes would take minutes.
const SHARDS: usize = 4;

/// Crashes at every `SHARDS`-th side of an effect, from `shard` on; the shards together leave none out.
fn crash_at_every_effect_of(story: &impl Story, shard: usize) {
    let world = live(story.begin());
    let recorded = Arc::new(CrashAt::never());
    let expected = tell(story, &world, recorded.clone());
    assert_eq!(world.fake.violations(), Vec::<String>::new());
    story.check(&expected);
    let points = recorded.seen();
    assert!(!points.is_empty(), "the story has no effect");

    for (index, point) in points.iter().enumerate().skip(shard).step_by(SHARDS) {
        let (world, reached) = crash_and_finish(story, index);
        assert_eq!(reached, expected, "after a crash at effect {index}: {point:?}");
        let violations = world.fake.violations();
        assert_eq!(violations, Vec::<String>::new(), "after a crash at effect {index}: {point:?}");
    }
    println!("shard {shard} of {SHARDS}: every crash of {} was survived", points.len());
}

/// One test per shard of a story.
macro_rules! crashes {
    ($story:expr) => {
        #[test]
        fn a_crash_at_any_effect_ends_the_same_1() {
            crate::crash::crash_at_every_effect_of(&$story, 0);
        }

        #[test]
        fn a_crash_at_any_effect_ends_the_same_2() {
            crate::crash::crash_at_every_effect_of(&$story, 1);
        }

        #[test]
        fn a_crash_at_any_effect_ends_the_same_3() {
            crate::crash::crash_at_every_effect_of(&$story, 2);
        }

        #[test]
        fn a_crash_at_any_effect_ends_the_same_4() {
            crate::crash::crash_at_every_effect_of(&$story, 3);
        }
    };
}
use crashes;
