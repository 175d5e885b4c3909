//! How many connections each client has open, so that one cannot take all of them. A client is what it is in `rates`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::rates::network;

/// Connections per client. Asked once per connection, so one lock does.
#[derive(Default)]
pub(super) struct Guests {
    counts: Mutex<HashMap<u128, usize>>,
}

/// One open connection; it is over when this is dropped.
pub(super) struct Guest {
    all: Arc<Guests>,
    client: u128,
}

impl Guests {
    /// Counts a connection, unless the client has `most` already.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr, most: usize) -> Option<Guest> {
        let client = network(client);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Guest { all: Arc::clone(self), client })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.all.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}
