//! An event stream (`text/event-stream`) that has to go, because its replica or the edge does: it ends in order between
//! two events. The format has no word for a farewell, and needs none: a client that wants more asks again when a stream
//! ends (WHATWG HTML §9.2.3), and comes to a replica that stays.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http_body::Body as _;
use hyper::body::Incoming;

use super::Edge;
use super::backend::Backend;
use super::upgrade::{Farewell, farewell};

/// A stream of events on its way to a client.
pub(super) struct EventStream {
    leave: Farewell,
    is_to_end: bool,
    lines: Lines,
}

impl EventStream {
    /// None for another kind of answer, and for one whose events cannot be seen or whose length was promised.
    pub(super) fn of(
        headers: &HeaderMap,
        body: &Incoming,
        edge: &Arc<Edge>,
        backend: &Arc<Backend>,
    ) -> Option<Box<Self>> {
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
        let is_events = kind.eq_ignore_ascii_case("text/event-stream");
        let is_plain = !headers.contains_key(header::CONTENT_ENCODING);
        (is_events && is_plain && body.size_hint().exact().is_none()).then(|| {
            let leave = farewell(Arc::clone(edge), backend);
            Box::new(Self { leave, is_to_end: false, lines: Lines::default() })
        })
    }

    /// Whether the stream ends here.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_to_end = self.is_to_end || self.leave.as_mut().poll(cx) == Poll::Ready(());
        self.is_to_end && self.lines.between_events()
    }

    /// What of a piece is passed on: all of it, or what ends the event under way when the stream is to end.
    pub(super) fn pass(&mut self, mut piece: Bytes) -> Bytes {
        let end = piece.iter().position(|byte| {
            self.lines.follow(*byte);
            self.is_to_end && self.lines.between_events()
        });
        piece.truncate(end.map_or(piece.len(), |last| last + 1));
        piece
    }
}

/// Where events end: at an empty line. Lines end with CR LF, LF or CR, and those that start with a colon are comments
/// (WHATWG HTML §9.2.6).
#[derive(Debug, Default)]
struct Lines {
    line: Line,
    /// An event has a line already.
    in_event: bool,
    after_return: bool,
}

/// The line that was begun.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    #[default]
    None,
    Comment,
    Field,
}

impl Lines {
    fn between_events(&self) -> bool {
        self.line == Line::None && !self.in_event
    }

    fn follow(&mut self, byte: u8) {
        let is_rest = byte == b'\n' && self.after_return;
        self.after_return = byte == b'\r';
        match (byte, self.line) {
            _ if is_rest => {}
            (b'\r' | b'\n', line) => {
                self.in_event = line == Line::Field || (line == Line::Comment && self.in_event);
                self.line = Line::None;
            }
            (b':', Line::None) => self.line = Line::Comment,
            (_, Line::None) => self.line = Line::Field,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places between events, as a cut there shows them.
    fn cuts(text: &str) -> Vec<usize> {
        let mut lines = Lines::default();
        let between = text.bytes().enumerate().filter_map(|(at, byte)| {
            lines.follow(byte);
            lines.between_events().then_some(at + 1)
        });
        between.collect()
    }

    #[test]
    fn events_end_at_empty_lines_whatever_ends_a_line() {
        assert!(Lines::default().between_events(), "before the first");
        assert_eq!(cuts("data: a\n\ndata: b\n\n"), [9, 18]);
        assert_eq!(cuts("data: a\r\n\r\n"), [10, 11]);
        assert_eq!(cuts("data: a\r\rid: 1\r\r"), [9, 16]);
        assert_eq!(cuts("data: a\ndata: b\n"), [] as [usize; 0]);
    }

    #[test]
    fn comments_belong_to_no_event_and_break_none() {
        assert_eq!(cuts(": ping\n: pong\n"), [7, 14]);
        assert_eq!(cuts("data: a\n: ping\n\n"), [16]);
        assert_eq!(cuts("data:\n\n:\n"), [7, 9]);
    }
}
