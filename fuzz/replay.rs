//! Replays a target's corpus and mutations of it: on the stable compiler, without a clock, the same ones every time. Each
//! crate with a target includes this file in its tests.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// The longest input that is made.
const LENGTH_MAX: usize = 8 * 1024;

/// What breaks readers: separators, ends, numbers at their limits, bytes that are no text.
const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\x80",
    b"\t",
    b" ",
    b":",
    b"-",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"'",
    b"&a",
    b"*a",
    b"<<",
    b"---\n",
    b"0",
    b"-1",
    b"0000",
    b"0001",
    b"0004",
    b"ffff",
    b"65536",
    b"4294967296",
    b"18446744073709551615",
    b"18446744073709551616",
    b"\xe2\x80\xae",
    b"../",
    b"..",
    b"/",
    b"%00",
    b"chunked",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: a\r\n",
    b"Connection: x\r\n",
    b"0\r\n\r\n",
];

/// Runs the target on every seed, and on `mutations` inputs made of them. Prints the input that makes it panic.
pub(crate) fn corpus(target: &str, mutations: u32, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 12, "{} seeds in {}", files.len(), folder.display());
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for seed in &seeds {
        check(seed, &run);
    }
    let mut dice = Dice(0x6E61_7275);
    for _ in 0..mutations {
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(6) {
            mutate(&mut bytes, &seeds, &mut dice);
        }
        bytes.truncate(LENGTH_MAX);
        check(&bytes, &run);
    }
}

fn check(bytes: &[u8], run: &impl Fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(bytes))) {
        eprintln!("the input that failed: b\"{}\"", bytes.escape_ascii());
        resume_unwind(panic);
    }
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = (at + dice.below(32)).min(bytes.len());
    match dice.below(7) {
        0 => drop(bytes.drain(at..end)),
        1 => bytes.truncate(at),
        2 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        3 => {
            let token = TOKENS[dice.below(TOKENS.len())];
            bytes.splice(at..at, token.iter().copied());
        }
        4 => {
            let other = &seeds[dice.below(seeds.len())];
            let from = dice.below(other.len() + 1);
            let piece = other[from..(from + dice.below(200)).min(other.len())].to_vec();
            bytes.splice(at..end, piece);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
    }
}

/// xorshift: the same throws every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap_or(0)
    }
}
