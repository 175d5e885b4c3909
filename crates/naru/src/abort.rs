//! Crash drills: `naru serve --abort-at NAME:MOMENT:COUNT` ends the process as a power cut would, before or after the
//! named effect. Hidden from help; without the option nothing of this is in the way.

use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use naru_model::effect::{Effects, Moment, Unobserved};

/// Where to end.
#[derive(Debug, Clone)]
pub(crate) struct AbortAt {
    name: String,
    moment: Moment,
    count: u32,
}

impl FromStr for AbortAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.rsplitn(3, ':');
        let (Some(count), Some(moment), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("expected NAME:before:COUNT or NAME:after:COUNT".into());
        };
        Ok(Self {
            name: name.to_owned(),
            moment: match moment {
                "before" => Moment::Before,
                "after" => Moment::After,
                other => return Err(format!("{other:?} is neither before nor after")),
            },
            count: count.parse().map_err(|error| format!("{count:?}: {error}"))?,
        })
    }
}

struct Aborting {
    at: AbortAt,
    seen: AtomicU32,
}

impl Effects for Aborting {
    fn at<'a>(&'a self, moment: Moment, name: &'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        if moment == self.at.moment && name == self.at.name {
            let seen = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
            if seen == self.at.count {
                std::process::abort();
            }
        }
        Box::pin(std::future::ready(()))
    }
}

/// Nobody, or who ends the process at the given effect.
pub(crate) fn effects(at: Option<&AbortAt>) -> Arc<dyn Effects> {
    match at {
        None => Arc::new(Unobserved),
        Some(at) => Arc::new(Aborting { at: at.clone(), seen: AtomicU32::new(0) }),
    }
}
