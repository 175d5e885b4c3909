//! Byte ranges of requests: `Content-Range` of chunked uploads (OCI distribution specification, section "Pushing a blob
//! in chunks") and `Range` of downloads (RFC 9110, section 14). Pure.

/// An upload chunk's place, inclusive on both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl ChunkRange {
    /// Reads `<start>-<end>`; nothing else is allowed, not even spaces or `bytes`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('-')?;
        let range = Self { start: decimal(start)?, end: decimal(end)? };
        (range.start <= range.end && range.end < u64::MAX).then_some(range)
    }

    /// How many bytes the chunk has.
    pub(crate) fn length(self) -> u64 {
        self.end - self.start + 1
    }
}

/// What part of a blob a download asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything: no range, or one that is to be ignored (another unit, several ranges, malformed).
    Whole,
    /// These bytes, inclusive on both ends; always within the blob.
    Bytes { start: u64, end: u64 },
    /// The range lies outside the blob.
    Outside,
}

impl Part {
    /// Reads a `Range` header for a blob of `size` bytes.
    pub(crate) fn parse(header: Option<&str>, size: u64) -> Self {
        let Some(spec) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
            return Self::Whole;
        };
        let Some((start, end)) = spec.split_once('-') else { return Self::Whole };
        let (start, end) = (start.trim(), end.trim());
        match (start.is_empty(), end.is_empty()) {
            (true, true) => Self::Whole,
            (true, false) => match decimal(end) {
                None => Self::Whole,
                Some(0) => Self::Outside,
                Some(_) if size == 0 => Self::Outside,
                Some(last) => Self::Bytes { start: size.saturating_sub(last), end: size - 1 },
            },
            (false, open) => {
                let Some(start) = decimal(start) else { return Self::Whole };
                let Some(end) = (if open { Some(u64::MAX) } else { decimal(end) }) else {
                    return Self::Whole;
                };
                if end < start {
                    Self::Whole
                } else if start >= size {
                    Self::Outside
                } else {
                    Self::Bytes { start, end: end.min(size - 1) }
                }
            }
        }
    }
}

fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunks() {
        assert_eq!(ChunkRange::parse("0-0"), Some(ChunkRange { start: 0, end: 0 }));
        assert_eq!(ChunkRange::parse("5-9").unwrap().length(), 5);
        for bad in [
            "",
            "-",
            "0",
            "0-",
            "-5",
            "9-5",
            "bytes 0-5/6",
            "0-5/6",
            " 0-5",
            "0-5 ",
            "+0-5",
            "0-5-6",
            "0x0-0x5",
            "0-18446744073709551615",
            "0-99999999999999999999999",
        ] {
            assert_eq!(ChunkRange::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn parts() {
        assert_eq!(Part::parse(None, 10), Part::Whole);
        assert_eq!(Part::parse(Some("bytes=0-3"), 10), Part::Bytes { start: 0, end: 3 });
        assert_eq!(Part::parse(Some("bytes=4-"), 10), Part::Bytes { start: 4, end: 9 });
        assert_eq!(Part::parse(Some("bytes=-4"), 10), Part::Bytes { start: 6, end: 9 });
        assert_eq!(Part::parse(Some("bytes=-40"), 10), Part::Bytes { start: 0, end: 9 });
        assert_eq!(Part::parse(Some("bytes=4-400"), 10), Part::Bytes { start: 4, end: 9 });
        assert_eq!(Part::parse(Some("bytes=10-"), 10), Part::Outside);
        assert_eq!(Part::parse(Some("bytes=-0"), 10), Part::Outside);
        assert_eq!(Part::parse(Some("bytes=0-"), 0), Part::Outside);
        for ignored in ["bytes=5-2", "lines=0-3", "bytes=a-b", "bytes=", "bytes=-", "bytes=0-1,3-4"] {
            assert_eq!(Part::parse(Some(ignored), 10), Part::Whole, "{ignored:?}");
        }
    }

    proptest! {
        #[test]
        fn a_chunk_is_what_it_says(start in 0..u64::MAX / 2, length in 1..u64::MAX / 2) {
            let end = start + length - 1;
            let range = ChunkRange::parse(&format!("{start}-{end}")).unwrap();
            prop_assert_eq!((range.start, range.end, range.length()), (start, end, length));
        }

        #[test]
        fn a_chunk_is_never_guessed(text in "\\PC{0,40}") {
            if let Some(range) = ChunkRange::parse(&text) {
                let (start, end) = text.split_once('-').unwrap();
                prop_assert_eq!(start.parse::<u64>().unwrap(), range.start);
                prop_assert_eq!(end.parse::<u64>().unwrap(), range.end);
                prop_assert!(range.start <= range.end);
            }
        }

        #[test]
        fn a_part_lies_within_the_blob(text in "bytes=[0-9]{0,21}-[0-9]{0,21}", size in 0..u64::MAX) {
            if let Part::Bytes { start, end } = Part::parse(Some(&text), size) {
                prop_assert!(start <= end && end < size);
            }
        }
    }
}
