//! Maintenance while nothing else can be done. It belongs to every table that is planned; when a pass cannot plan, because the
//! engine is away or a person has to act, the table in force is published again with what visitors are to be told.

use naru_model::route::RouteTable;
use naru_store::environment::Environment;
use naru_store::lease::Lease;

use crate::Context;
use crate::reconcile::PassError;

/// Changes nothing but what visitors are told, and only where that is not so yet.
pub(crate) async fn tell(
    cx: &Context,
    environment: &Environment,
    lease: Option<&Lease>,
) -> Result<(), PassError> {
    let key = &environment.key;
    if environment.target.is_none() {
        return Ok(());
    }
    let wanted = cx.store.maintenance(key).await?.map(|on| on.told);
    let traffic = cx.traffic.status(key).await?;
    let differs = |table: &RouteTable| !table.routes.is_empty() && table.maintenance != wanted;
    let Some(applied) = traffic.applied.filter(|applied| differs(&applied.table)) else { return Ok(()) };
    let lease = lease.ok_or(PassError::NeedsLease)?;
    let table = RouteTable { maintenance: wanted, ..applied.table };
    cx.store.check_generation(key, environment.generation).await?;
    cx.store.guard(lease, cx.traffic.publish(&table, environment.generation)).await??;
    Ok(())
}
