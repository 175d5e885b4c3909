//! How the samples of a block are written: a version, then sample after sample as variable-length numbers, mostly zeros
//! of one byte.

use std::collections::BTreeMap;

use naru_model::metric::{Answers, Latency, Sample};

const VERSION: u64 = 1;
/// More than any block has, so that a damaged number asks for no memory.
const SAMPLES_MAX: u64 = 10_000;
const REVISIONS_MAX: u64 = 100_000;

/// The samples of a block, by their number in it.
pub(super) type Block = BTreeMap<u32, Sample>;

/// Writes a block.
pub(super) fn pack(block: &Block) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + 24 * block.len());
    put(&mut bytes, VERSION);
    put(&mut bytes, block.len() as u64);
    for (number, sample) in block {
        put(&mut bytes, u64::from(*number));
        let fields = [
            sample.usage_ms,
            sample.traffic_ms,
            sample.replica_ms,
            sample.cpu_micros,
            sample.memory_byte_seconds,
            sample.received_bytes,
            sample.sent_bytes,
            sample.answers.len() as u64,
        ];
        for field in fields {
            put(&mut bytes, field);
        }
        for (revision, answers) in &sample.answers {
            put(&mut bytes, u64::from(*revision));
            put_answers(&mut bytes, answers);
        }
    }
    bytes
}

fn put_answers(bytes: &mut Vec<u8>, answers: &Answers) {
    put(bytes, answers.requests);
    put(bytes, answers.errors);
    let filled = answers.latency.iter().enumerate().filter(|(_, requests)| **requests > 0);
    put(bytes, filled.clone().count() as u64);
    for (bucket, requests) in filled {
        put(bytes, bucket as u64);
        put(bytes, *requests);
    }
}

/// Reads a block; `None` when it is damaged or of a newer version.
pub(super) fn unpack(bytes: &[u8]) -> Option<Block> {
    let mut reader = Reader(bytes);
    if reader.take()? != VERSION {
        return None;
    }
    let mut block = Block::new();
    for _ in 0..reader.at_most(SAMPLES_MAX)? {
        let number = reader.small()?;
        let mut sample = Sample {
            usage_ms: reader.take()?,
            traffic_ms: reader.take()?,
            replica_ms: reader.take()?,
            cpu_micros: reader.take()?,
            memory_byte_seconds: reader.take()?,
            received_bytes: reader.take()?,
            sent_bytes: reader.take()?,
            answers: BTreeMap::new(),
        };
        for _ in 0..reader.at_most(REVISIONS_MAX)? {
            let revision = reader.small()?;
            sample.answers.insert(revision, reader.answers()?);
        }
        block.insert(number, sample);
    }
    reader.0.is_empty().then_some(block)
}

/// Seven bits a byte, lowest first; the highest bit says that more follow.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(lowest(number) | 0x80);
        number >>= 7;
    }
    bytes.push(lowest(number));
}

fn lowest(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if bits.leading_zeros() < shift {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn at_most(&mut self, most: u64) -> Option<u64> {
        self.take().filter(|number| *number <= most)
    }

    fn small(&mut self) -> Option<u32> {
        self.take()?.try_into().ok()
    }

    fn answers(&mut self) -> Option<Answers> {
        let (requests, errors) = (self.take()?, self.take()?);
        let mut latency = Latency::default();
        for _ in 0..self.at_most(latency.len() as u64)? {
            let bucket = usize::try_from(self.take()?).ok()?;
            *latency.get_mut(bucket)? = self.take()?;
        }
        Some(Answers { requests, errors, latency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Block {
        let mut latency = Latency::default();
        latency[3] = 7;
        latency[13] = u64::MAX;
        let answers = Answers { requests: 300, errors: 1, latency };
        let sample = Sample {
            usage_ms: 15_000,
            traffic_ms: 14_999,
            replica_ms: 45_000,
            cpu_micros: u64::MAX,
            memory_byte_seconds: 1 << 40,
            received_bytes: 127,
            sent_bytes: 128,
            answers: BTreeMap::from([(0, Answers::default()), (u32::MAX, answers)]),
        };
        BTreeMap::from([(0, Sample::default()), (59, sample)])
    }

    #[test]
    fn a_block_is_read_as_it_was_written() {
        for block in [Block::new(), full()] {
            assert_eq!(unpack(&pack(&block)), Some(block));
        }
        let idle = Sample { usage_ms: 15_000, traffic_ms: 15_000, replica_ms: 15_000, ..Sample::default() };
        let block: Block = (0..60).map(|number| (number, idle.clone())).collect();
        assert!(pack(&block).len() <= 60 * 15, "{}", pack(&block).len());
    }

    #[test]
    fn what_is_damaged_is_noticed() {
        let whole = pack(&full());
        for end in 0..whole.len() {
            assert_eq!(unpack(&whole[..end]), None, "{end}");
        }
        for bad in [&[2, 0][..], &[1, 0, 0], &[0xff; 11], &[1, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
            assert_eq!(unpack(bad), None, "{bad:?}");
        }
    }
}
