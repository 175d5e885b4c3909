//! Counting and timing requests, written in the OpenMetrics text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::Board;
use crate::store::Totals;

/// Upper bounds of the histogram, in seconds.
const BOUNDS: [f64; 8] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Requests by route, method and status; how long they took.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    requests: BTreeMap<(String, String, u16), u64>,
    within: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

/// Measures a request. Routes are patterns, never addresses as they came in, so that their number stays small.
pub async fn measure(State(board): State<Arc<Board>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().to_string();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    board.metrics.add((route, method, response.status().as_u16()), started.elapsed());
    response
}

impl Metrics {
    fn add(&self, what: (String, String, u16), took: Duration) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.requests.entry(what).or_default() += 1;
        for (bound, within) in BOUNDS.iter().zip(seen.within.iter_mut()) {
            *within += u64::from(took.as_secs_f64() <= *bound);
        }
        seen.count += 1;
        seen.sum += took;
    }

    /// The whole exposition.
    pub fn text(&self, totals: Totals) -> String {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text =
            String::from("# TYPE board_requests counter\n# HELP board_requests Requests answered.\n");
        for ((route, method, status), count) in &seen.requests {
            let _ = writeln!(
                text,
                "board_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}} {count}"
            );
        }
        text.push_str("# TYPE board_request_seconds histogram\n# UNIT board_request_seconds seconds\n");
        text.push_str("# HELP board_request_seconds Time to answer.\n");
        for (bound, within) in BOUNDS.iter().zip(seen.within) {
            let _ = writeln!(text, "board_request_seconds_bucket{{le=\"{bound:?}\"}} {within}");
        }
        let _ = writeln!(text, "board_request_seconds_bucket{{le=\"+Inf\"}} {}", seen.count);
        let _ = writeln!(text, "board_request_seconds_count {}", seen.count);
        let _ = writeln!(text, "board_request_seconds_sum {}", seen.sum.as_secs_f64());
        for (name, help, value) in [
            ("board_accounts", "Accounts.", totals.accounts),
            ("board_posts", "Posts.", totals.posts),
            ("board_sessions", "Sessions that have not ended.", totals.sessions),
        ] {
            let _ = writeln!(text, "# TYPE {name} gauge\n# HELP {name} {help}\n{name} {value}");
        }
        text.push_str("# EOF\n");
        text
    }
}
