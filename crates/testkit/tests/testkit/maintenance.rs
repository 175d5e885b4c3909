//! Maintenance in delivery: it is told while the engine is away, and a delivery underneath does not end it.

use std::sync::Arc;

use naru_delivery::reconcile::reconcile;
use naru_engine::fake::{Fake, Manners};
use naru_model::RevisionNumber;
use naru_model::maintenance::Maintenance;
use naru_model::route::RouteTable;
use naru_testkit::rig::World;

use crate::story::{MINUTE, WEB, replicas, start};

#[tokio::test]
async fn visitors_are_told_also_while_the_engine_is_away_and_deliveries_go_on_underneath() {
    let world = World::default();
    let (rig, project, key) = start(&world).await;
    rig.release(&project, WEB, "one").await;
    rig.settle(MINUTE).await;
    let open = world.fake.table(&key).unwrap();
    let running = replicas(&world, &key);

    let told = Maintenance { message: Some("Back soon".to_owned()), until: None };
    rig.store.begin_maintenance(&key, &told, "mina").await.unwrap();
    let away = Fake::new(world.clock.clone());
    away.set_manners(Manners { unreachable: true, ..Manners::default() });
    let cut_off = naru_delivery::Context { engine: Arc::new(away), ..rig.delivery.clone() };
    // The first pass may find that it has to become the only one who acts.
    for _ in 0..2 {
        reconcile(&cut_off, &key).await.unwrap();
    }
    let closed = world.fake.table(&key).unwrap();
    assert_eq!(closed, RouteTable { maintenance: Some(told.clone()), ..open.clone() });
    assert_eq!(replicas(&world, &key), running);

    rig.release(&project, WEB, "two").await;
    rig.settle(MINUTE).await;
    assert_eq!(rig.serving(&key).await, Some(RevisionNumber(2)));
    assert_eq!(world.fake.table(&key).unwrap().maintenance, Some(told));

    let running = replicas(&world, &key);
    rig.store.end_maintenance(&key).await.unwrap();
    rig.settle(MINUTE).await;
    assert_eq!(world.fake.table(&key).unwrap().maintenance, None);
    assert_eq!(replicas(&world, &key), running);
    assert_eq!(world.fake.violations(), Vec::<String>::new());
}
