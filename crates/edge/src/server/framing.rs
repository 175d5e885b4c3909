//! Follows a client's bytes as RFC 9112 frames them, across reads, and finds what hyper forgives and another reader
//! of the same bytes may understand differently. It decides nothing about a request: what it finds is kept, and the
//! request, and every later one on the connection, is refused with it.
//!
//! It frames as strictly as hyper does. Where the two could differ the bytes are malformed, hyper refuses them, and
//! nothing that follows on the connection is read as a request.

/// Why the bytes of a connection cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Content-Length and Transfer-Encoding together, or one of them more than once. RFC 9112 §6.3.
    LengthTwice,
    /// A line that ends without a carriage return: to some readers it goes on. RFC 9112 §2.2.
    BareLineFeed,
    /// More bytes behind a request for another protocol: a request to one reader, a tunnel's to another.
    Early,
}

impl Fault {
    /// What the client is told.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::LengthTwice => "the length of the body is given twice",
            Self::BareLineFeed => "a line ends without a carriage return",
            Self::Early => "bytes follow a request for another protocol",
        }
    }
}

/// Where in a connection's bytes the watch is.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: State,
    /// The beginning of a line that was cut by the end of a read.
    cut: Vec<u8>,
    cut_after_return: bool,
    fields: Fields,
    heads: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waiting for the first byte of a head.
    #[default]
    Between,
    /// Within the first line of a head.
    Opening,
    /// Within a head, behind its first line.
    Head,
    /// Within a body of which this much is left.
    Length(u64),
    /// Within the hexadecimal size of a chunk.
    Size(u64),
    /// Behind the size, up to the end of the line.
    Extension(u64),
    /// Within a chunk and the line break behind it.
    Chunk(u64),
    /// Behind the last chunk.
    Trailers,
    /// Malformed: hyper gives the connection up.
    Lost,
}

/// What a head says about its body.
#[derive(Debug, Default)]
struct Fields {
    lengths: u32,
    length: Option<u64>,
    codings: u32,
    upgrade: bool,
}

/// Enough of a line for a field's name and the largest length.
const CUT_MAX: usize = 64;

impl Watch {
    /// Whether a head has begun and has not ended.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.state, State::Opening | State::Head)
    }

    /// How many heads ended.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Looks at what arrived.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> Option<Fault> {
        while !bytes.is_empty() {
            match self.step(bytes) {
                Ok(rest) => bytes = rest,
                Err(fault) => {
                    self.state = State::Lost;
                    return Some(fault);
                }
            }
        }
        None
    }

    /// Follows some of the bytes and returns the others.
    fn step<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Fault> {
        match self.state {
            State::Between | State::Opening | State::Head | State::Trailers => self.line(bytes),
            State::Length(left) => Ok(self.skip(bytes, left, State::Length, State::Between)),
            State::Chunk(left) => Ok(self.skip(bytes, left, State::Chunk, State::Size(0))),
            State::Size(size) => {
                self.state = size_digit(size, bytes[0]);
                Ok(&bytes[1..])
            }
            State::Extension(size) => {
                let Some(end) = memchr::memchr(b'\n', bytes) else { return Ok(&[]) };
                self.state = match size {
                    0 => State::Trailers,
                    size => size.checked_add(2).map_or(State::Lost, State::Chunk),
                };
                Ok(&bytes[end + 1..])
            }
            State::Lost => Ok(&[]),
        }
    }

    fn skip<'b>(
        &mut self,
        bytes: &'b [u8],
        left: u64,
        within: impl FnOnce(u64) -> State,
        behind: State,
    ) -> &'b [u8] {
        let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - skipped as u64;
        self.state = if left == 0 { behind } else { within(left) };
        &bytes[skipped..]
    }

    /// One line of a head or of trailers, or the beginning of one.
    fn line<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Fault> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.keep(bytes);
            if self.state == State::Between {
                self.state = State::Opening;
            }
            return Ok(&[]);
        };
        let (piece, rest) = (&bytes[..end], &bytes[end + 1..]);
        let after_return = piece.last().map_or(self.cut_after_return, |&byte| byte == b'\r');
        if !after_return {
            return Err(Fault::BareLineFeed);
        }
        let is_empty = if self.cut.is_empty() {
            self.field(piece);
            piece.len() == 1
        } else {
            self.keep(piece);
            let whole = std::mem::take(&mut self.cut);
            self.field(&whole);
            whole == b"\r"
        };
        self.cut_after_return = false;
        match (self.state, is_empty) {
            // Empty lines before a head are allowed.
            (State::Between | State::Opening, true) => self.state = State::Between,
            (State::Between | State::Opening, false) => self.state = State::Head,
            (State::Trailers, true) => self.state = State::Between,
            (_, true) => self.end_of_head(rest)?,
            (_, false) => {}
        }
        Ok(rest)
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = CUT_MAX.saturating_sub(self.cut.len()).min(piece.len());
        self.cut.extend_from_slice(&piece[..room]);
        if let Some(last) = piece.last() {
            self.cut_after_return = *last == b'\r';
        }
    }

    fn field(&mut self, line: &[u8]) {
        if self.state != State::Head {
            return;
        }
        match line.first() {
            Some(b'c' | b'C') => {
                if let Some(value) = value_of(line, b"content-length") {
                    self.fields.lengths += 1;
                    self.fields.length = number(value);
                }
            }
            Some(b't' | b'T') if value_of(line, b"transfer-encoding").is_some() => self.fields.codings += 1,
            Some(b'u' | b'U') if value_of(line, b"upgrade").is_some() => self.fields.upgrade = true,
            _ => {}
        }
    }

    fn end_of_head(&mut self, rest: &[u8]) -> Result<(), Fault> {
        self.heads += 1;
        let Fields { lengths, length, codings, upgrade } = std::mem::take(&mut self.fields);
        if lengths + codings > 1 {
            return Err(Fault::LengthTwice);
        }
        if upgrade && lengths + codings == 0 && !rest.is_empty() {
            return Err(Fault::Early);
        }
        self.state = match (codings, lengths, length) {
            (1, ..) => State::Size(0),
            (0, 0, _) | (0, _, Some(0)) => State::Between,
            (_, _, Some(length)) => State::Length(length),
            (_, _, None) => State::Lost,
        };
        Ok(())
    }
}

fn size_digit(size: u64, byte: u8) -> State {
    match (byte as char).to_digit(16) {
        Some(digit) => size
            .checked_mul(16)
            .and_then(|size| size.checked_add(u64::from(digit)))
            .map_or(State::Lost, State::Size),
        None => State::Extension(size),
    }
}

/// What follows `name` and the colon; blanks before the colon are hyper's to refuse.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    rest.trim_ascii_start().strip_prefix(b":")
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if plain { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pieces: &[&[u8]]) -> Option<Fault> {
        let mut watch = Watch::default();
        pieces.iter().find_map(|piece| watch.look(piece))
    }

    /// The same however the bytes are cut.
    fn always(bytes: &[u8], want: Option<Fault>) {
        assert_eq!(verdict(&[bytes]), want);
        for cut in 1..bytes.len() {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(verdict(&[left, right]), want, "cut at {cut}: {:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(verdict(&bytes.chunks(1).collect::<Vec<_>>()), want);
    }

    #[test]
    fn lengths_given_twice_are_seen() {
        for head in [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\ncontent-length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length : 3\r\nContent-Length: 3\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length:3\r\ncontent-length:3\r\n\r\n",
        ] {
            always(head.as_bytes(), Some(Fault::LengthTwice));
        }
    }

    #[test]
    fn heads_behind_bodies_are_seen() {
        let second = "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n";
        for first in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n1A\r\n\r\n4567890123456789012345\n\r\n\r\n0\r\nX: 1\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            always(format!("{first}{second}").as_bytes(), Some(Fault::LengthTwice));
        }
    }

    #[test]
    fn bodies_are_not_read_as_heads() {
        let inner = "\nContent-Length: 3\nTransfer-Encoding: chunked\n\nX: 1\n";
        let length = inner.len();
        always(format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{inner}").as_bytes(), None);
        always(
            format!(
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\nGET /"
            )
            .as_bytes(),
            None,
        );
    }

    #[test]
    fn the_first_line_is_no_field_and_empty_ones_before_it_are_no_head() {
        always(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", None);
        for pieces in
            [&["\r\n\r\nGET / HTTP/1.1\r\n\r\n"][..], &["\r", "\n\r", "\nG", "ET / HTTP/1.1\r\n\r", "\n"]]
        {
            let mut watch = Watch::default();
            assert!(pieces.iter().all(|piece| watch.look(piece.as_bytes()).is_none()));
            assert_eq!(watch.heads(), 1);
        }
    }

    #[test]
    fn bare_line_feeds_are_seen() {
        for head in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\n\r\n",
        ] {
            always(head.as_bytes(), Some(Fault::BareLineFeed));
        }
    }

    #[test]
    fn bytes_behind_a_request_for_another_protocol_are_seen() {
        let head = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".as_slice();
        assert_eq!(verdict(&[&[head, b"G"].concat()]), Some(Fault::Early));
        assert_eq!(verdict(&[head]), None);
        let with_body = b"POST / HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\na";
        assert_eq!(verdict(&[with_body]), None);
    }

    #[test]
    fn what_is_malformed_is_not_followed() {
        for lost in [
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
        ] {
            let mut watch = Watch::default();
            assert_eq!(watch.look(lost.as_bytes()), None);
            assert_eq!(watch.state, State::Lost);
        }
    }

    #[test]
    fn it_knows_when_a_head_is_under_way() {
        let mut watch = Watch::default();
        assert!(!watch.in_head());
        for (piece, in_head) in [
            ("G", true),
            ("ET / HTTP/1.1\r\nContent-Length: 5\r\n\r", true),
            ("\n", false),
            ("abc", false),
            ("de", false),
            ("GET", true),
            (" / HTTP/1.1\r\n\r\n", false),
        ] {
            watch.look(piece.as_bytes());
            assert_eq!(watch.in_head(), in_head, "{piece:?}");
        }
    }
}
