//! Restores the reservations of open operations after a start.
//!
//! A volume that waits in a backend's queue is in no report. Its operation is in the catalog, so its capacity is reserved
//! again before new requests are placed. What is counted twice meanwhile is corrected by the next reports.

use tokio::time::Instant;

use super::pools::Reservation;
use super::state::SchedulerState;
use crate::model::{Operation, PoolName};
use crate::store::StoreError;
use crate::verbs::{PromisedSpace, verb_of};

/// The number of operations per read.
const PAGE: usize = 256;

/// Reserves the capacity of all open creates and extends that have a placement; returns their number.
pub(super) async fn restore(state: &SchedulerState) -> Result<usize, StoreError> {
    let mut restored = 0;
    let mut after = None;
    loop {
        let page = state.catalog.operations(after, PAGE).await?;
        for operation in &page.records {
            if let Some((reservation, pool, gib)) = promise(state, operation).await? {
                let mut pools = state.pools();
                if !pools.has(&reservation) {
                    pools.take(reservation, &pool, gib, Instant::now());
                    restored += 1;
                }
            }
        }
        if page.next.is_none() {
            return Ok(restored);
        }
        after = page.next;
    }
}

/// The reservation of an open operation, with its pool and GiB.
pub(super) async fn promise(
    state: &SchedulerState,
    operation: &Operation,
) -> Result<Option<(Reservation, PoolName, u32)>, StoreError> {
    let (Some(pool), Some(volume)) = (operation.pool.clone(), operation.volume_id) else {
        return Ok(None);
    };
    let Some(volume) = state.catalog.volume(volume).await? else {
        return Ok(None);
    };
    let Ok(verb) = verb_of(operation) else {
        return Ok(None);
    };
    Ok(verb.promised_space(&volume).map(|promised| match promised {
        PromisedSpace::New(gib) => (Reservation::Create(operation.id), pool, gib),
        PromisedSpace::Growth(gib) => (Reservation::Extend(volume.id), pool, gib),
    }))
}
