//! Target of the fuzzer (`fuzz/`): git's packets, in what clients send and in what git answers.

use axum::body::Body;

use super::body::RequestBody;
use super::packet::{Malformed, Packet, Packets, encode};
use super::push::Head;

/// Packets are the same however they arrive, and the same when written again; the head of a push keeps every byte.
pub fn packets(bytes: &[u8]) {
    let whole = read(&[bytes]);
    let singly: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&singly), whole);
    let (packets, _) = whole;
    let mut again = Vec::new();
    for packet in &packets {
        match packet {
            Packet::Content(content) => encode(content, &mut again),
            Packet::Flush => again.extend_from_slice(b"0000"),
            Packet::Delimiter => again.extend_from_slice(b"0001"),
        }
    }
    assert_eq!(read(&[&again]), (packets, Ok(())));
    push(bytes);
}

fn read(pieces: &[&[u8]]) -> (Vec<Packet>, Result<(), Malformed>) {
    let (mut packets, mut seen) = (Packets::default(), Vec::new());
    for piece in pieces {
        packets.feed(piece);
        loop {
            match packets.next() {
                Ok(Some(packet)) => seen.push(packet),
                Ok(None) => break,
                Err(malformed) => return (seen, Err(malformed)),
            }
        }
    }
    (seen, Ok(()))
}

fn push(bytes: &[u8]) {
    let mut body = RequestBody::new(Body::from(bytes.to_vec()), false, 1 << 20);
    // Reading has a time limit, and that needs a clock.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let Ok(head) = runtime.block_on(Head::read(&mut body)) else { return };
    assert!(bytes.starts_with(&head.bytes), "what is passed to git is what came");
    for command in &head.commands {
        assert!(!command.shown_name().contains(char::is_control));
    }
    if let Some(problem) = head.refusal() {
        read(&[&head.refuse(&problem)]).1.expect("a refusal that git can read");
    }
    let mut report = head.report();
    report.watch(bytes);
}

#[cfg(test)]
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_strangers() {
        replay::corpus("packets", 20_000, packets);
    }
}
