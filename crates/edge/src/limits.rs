//! Every bound of the edge in one place. Mechanisms take these as given; nothing else in the crate names a number
//! of seconds or bytes.

use std::time::Duration;

/// How long, how many, how large. The default is what `naru edge` runs with.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Client connections at once. Near the bound, answers close their connection; at it, new ones wait, all but one
    /// per listener and worker in the kernel's queue.
    pub connections: usize,
    /// Connections of one client (an IPv4 address, or an IPv6 network of 64 bits); further ones are refused.
    pub connections_per_client: usize,
    /// Header fields of one request; HTTP/1.1 takes at most 100, the reader's own bound, which costs nothing to keep.
    pub header_fields: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// From the first byte of a request's head to its last.
    pub head_read: Duration,
    /// A TLS handshake.
    pub handshake: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of a request's body that an HTTP/2 client may send ahead; twice as many per connection.
    pub stream_window_bytes: u32,
    /// How often an HTTP/2 client with requests under way is asked whether it is still there, and how long it may take to
    /// say so.
    pub ping: Duration,
    /// HTTP/2 frames that ask for nothing (resets, pings, settings, priorities, empty pieces), at once.
    pub cheap_frames: u32,
    /// And per second.
    pub cheap_frames_per_s: u32,
    /// A client connection without a request.
    pub client_idle: Duration,
    /// How long connections without a request stay open when the edge drains, for a request that is on its way.
    pub last_requests: Duration,
    /// Between two pieces of a request body.
    pub request_body_idle: Duration,
    /// A client that does not read its answer.
    pub client_write_idle: Duration,
    /// Until a replica accepts a connection.
    pub connect: Duration,
    /// From the end of the request to the head of the answer.
    pub response_head: Duration,
    /// Between two pieces of an answer.
    pub response_body_idle: Duration,
    /// An upgraded connection without a byte either way.
    pub upgraded_idle: Duration,
    /// How long after a replica left the table its WebSockets are told to go away; below the 30 s after which it is
    /// stopped all the same.
    pub farewell: Duration,
    /// Over which time they are told, so that they do not all come back at once.
    pub farewell_spread: Duration,
    /// How long the replica is given to ask for a body that the client announced with `Expect: 100-continue`.
    pub expect_continue: Duration,
    /// New connections to a replica that have not been answered yet; further requests wait for one of them, or for one
    /// that becomes idle. Below the 128 that common servers let wait to be accepted.
    pub unanswered_per_replica: usize,
    /// How long a new connection counts as one of these: a replica that takes its time over an answer has accepted it.
    pub unanswered: Duration,
    /// Idle connections kept per replica and worker.
    pub idle_per_replica: usize,
    /// How long an idle connection to a replica is kept; below the 5 s after which common servers close theirs.
    pub replica_idle: Duration,
    /// How long a replica that could not be reached is passed over while others serve; each time twice as long.
    pub eject: Duration,
    /// The longest that a replica is passed over before it is probed.
    pub eject_max: Duration,
    /// Errors in a row (500, 502, 503, 504, too late, broken off) after which a replica is passed over.
    pub eject_errors: u32,
    /// Between two looks whether a replica that is passed over is worth a probe.
    pub probe: Duration,
    /// How long such a probe may take, from the connection to the head of its answer.
    pub probed: Duration,
    /// How long a new replica's share grows, from a tenth of it to all.
    pub slow_start: Duration,
    /// Further attempts after the first.
    pub retries: usize,
    /// Further attempts under way at once, over all requests.
    pub retries_at_once: usize,
    /// How long a request waits on a held route.
    pub hold: Duration,
    /// Requests that wait at once, per environment.
    pub held_requests: usize,
    /// Bytes of their heads, over all environments. Bodies are not read while a request waits.
    pub held_bytes: usize,
}

impl Limits {
    /// So many connections that three eighths of the files that may be open are left for replicas, logs and tables: most
    /// connections are idle most of the time.
    pub(crate) fn within_files(self, files: usize) -> Self {
        Self { connections: self.connections.min(files / 8 * 5), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_client: 4_096,
            header_fields: 100,
            head_bytes: naru_model::route::HEAD_BYTES_MAX,
            head_read: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            streams: 100,
            stream_window_bytes: 256 * 1024,
            ping: Duration::from_secs(30),
            cheap_frames: 500,
            cheap_frames_per_s: 100,
            client_idle: Duration::from_secs(75),
            last_requests: Duration::from_millis(500),
            request_body_idle: Duration::from_secs(30),
            client_write_idle: Duration::from_mins(1),
            connect: Duration::from_secs(3),
            response_head: Duration::from_mins(1),
            response_body_idle: Duration::from_mins(5),
            upgraded_idle: Duration::from_hours(1),
            farewell: Duration::from_secs(15),
            farewell_spread: Duration::from_secs(5),
            expect_continue: Duration::from_secs(1),
            unanswered_per_replica: 64,
            unanswered: Duration::from_millis(250),
            idle_per_replica: 1_024,
            replica_idle: Duration::from_secs(4),
            eject: Duration::from_secs(1),
            eject_max: Duration::from_secs(30),
            eject_errors: 10,
            probe: Duration::from_millis(500),
            probed: Duration::from_secs(1),
            slow_start: Duration::from_secs(10),
            retries: 2,
            retries_at_once: 256,
            hold: Duration::from_secs(10),
            held_requests: 1_024,
            held_bytes: 16 * 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_replicas() {
        let of = |files| Limits::default().within_files(files).connections;
        assert_eq!([of(1_024), of(20_000), of(1 << 20), of(usize::MAX)], [640, 12_500, 16_384, 16_384]);
    }
}
