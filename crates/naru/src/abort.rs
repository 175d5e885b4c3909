//! Crash drills: `naru serve --abort-at NAME:MOMENT:COUNT` ends the process as a power cut would, before or after the
//! named effect. Hidden from help. Which effects there are is in the log: `NARU_LOG=naru::effect=trace`.

use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use naru_model::effect::{Effects, Moment};

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

/// Tells the log of every effect, and ends the process at one of them if it is told to.
struct Told {
    at: Option<AbortAt>,
    seen: AtomicU32,
}

impl Effects for Told {
    fn at<'a>(&'a self, moment: Moment, name: &'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        tracing::trace!(target: "naru::effect", name, ?moment);
        if let Some(at) = self.at.as_ref().filter(|at| moment == at.moment && name == at.name) {
            let seen = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
            if seen == at.count {
                std::process::abort();
            }
        }
        Box::pin(std::future::ready(()))
    }
}

/// Who is told of effects.
pub(crate) fn effects(at: Option<&AbortAt>) -> Arc<dyn Effects> {
    Arc::new(Told { at: at.cloned(), seen: AtomicU32::new(0) })
}
