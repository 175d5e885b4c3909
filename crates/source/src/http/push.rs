//! What a push asks for and what git answers, as gitprotocol-pack(5) has it: the commands at the start of the request,
//! the report at the end of the response, and a report of our own for a push that git never gets to see.

use std::collections::BTreeMap;

use bytes::Bytes;
use naru_model::{BranchName, CommitId, Problem};

use super::body::{BodyError, RequestBody};
use super::packet::{BAND_LIMIT, FLUSH, Malformed, Packet, Packets, encode};

/// More references in one push are most likely a mistake.
const COMMAND_LIMIT: usize = 1000;
const HEAD_LIMIT_BYTES: usize = 2 << 20;
const SHOWN_NAME_LIMIT: usize = 300;

/// Why the start of a push could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("a push may name at most {COMMAND_LIMIT} references")]
    TooMany,
}

/// One reference that is to be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    /// Where the sender believes it is.
    pub(super) old: Option<CommitId>,
    /// Where it should go; `None` deletes it.
    pub(super) new: Option<CommitId>,
    /// Its name as it was sent.
    pub(super) name: Bytes,
}

impl Command {
    fn parse(line: &[u8]) -> Option<Self> {
        let (old, rest) = line.split_at_checked(40)?;
        let (new, name) = rest.strip_prefix(b" ")?.split_at_checked(40)?;
        let name = name.strip_prefix(b" ")?;
        let id = |text: &[u8]| -> Option<Option<CommitId>> {
            let text = std::str::from_utf8(text).ok()?;
            let id: CommitId = text.parse().ok()?;
            Some((text.bytes().any(|byte| byte != b'0')).then_some(id))
        };
        Some(Self { old: id(old)?, new: id(new)?, name: Bytes::copy_from_slice(name) })
    }

    /// The name for the ledger: printable and bounded.
    pub(super) fn shown_name(&self) -> String {
        let text = String::from_utf8_lossy(&self.name);
        let shown = text.chars().flat_map(|c| {
            let escaped: Vec<char> = if c.is_control() { c.escape_default().collect() } else { vec![c] };
            escaped
        });
        shown.take(SHOWN_NAME_LIMIT).collect()
    }

    /// Why Naru refuses the name, if it does.
    fn refusal(&self) -> Option<Problem> {
        let name = std::str::from_utf8(&self.name).unwrap_or("\u{fffd}");
        let (noun, short) = match (name.strip_prefix("refs/heads/"), name.strip_prefix("refs/tags/")) {
            (Some(branch), _) => ("branch", branch),
            (_, Some(tag)) => ("tag", tag),
            _ => {
                let summary = format!("`{}` cannot be pushed", self.shown_name());
                return Some(
                    Problem::new("source.refused-reference", summary)
                        .hint("only branches (refs/heads/) and tags (refs/tags/) can be pushed"),
                );
            }
        };
        let error = short.parse::<BranchName>().err()?;
        let summary = format!("the {noun} name {} cannot be used here", error.given);
        let hint = format!("rename it and push again; a name has {}", error.expected);
        Some(Problem::new("source.refused-reference", summary).hint(hint))
    }
}

/// The start of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// What should be moved; empty for a request that only asks whether it would be let in.
    pub(super) commands: Vec<Command>,
    /// Everything that was read of the body, for git.
    pub(super) bytes: Bytes,
    /// Whether the sender reads a report, and whether it reads it in a side band.
    reports: bool,
    banded: bool,
}

impl Head {
    /// Reads up to the end of the commands.
    pub(super) async fn read(body: &mut RequestBody) -> Result<Self, HeadError> {
        let (mut packets, mut bytes) = (Packets::default(), Vec::new());
        let mut head = Self { commands: Vec::new(), bytes: Bytes::new(), reports: false, banded: false };
        loop {
            match packets.next()? {
                Some(Packet::Flush) => break,
                Some(Packet::Content(line)) => head.take_line(&line)?,
                Some(Packet::Delimiter) => return Err(Malformed.into()),
                None => match body.next().await? {
                    Some(piece) if bytes.len() <= HEAD_LIMIT_BYTES => {
                        packets.feed(&piece);
                        bytes.extend_from_slice(&piece);
                    }
                    Some(_) => return Err(HeadError::TooMany),
                    None if bytes.is_empty() => break,
                    None => return Err(Malformed.into()),
                },
            }
        }
        head.bytes = bytes.into();
        Ok(head)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), HeadError> {
        let mut parts = line.splitn(2, |byte| *byte == 0);
        let command = parts.next().unwrap_or_default();
        if let Some(capabilities) = parts.next() {
            let has =
                |wanted: &[u8]| capabilities.split(|byte| b" \n".contains(byte)).any(|one| one == wanted);
            self.reports |= has(b"report-status") || has(b"report-status-v2");
            self.banded |= has(b"side-band-64k");
        }
        let command = command.strip_suffix(b"\n").unwrap_or(command);
        if command.starts_with(b"shallow ") {
            return Ok(()); // a push from a shallow clone says where its history ends
        }
        if self.commands.len() == COMMAND_LIMIT {
            return Err(HeadError::TooMany);
        }
        self.commands.push(Command::parse(command).ok_or(Malformed)?);
        Ok(())
    }

    /// The first reason for which Naru refuses the push, if there is one.
    pub(super) fn refusal(&self) -> Option<Problem> {
        self.commands.iter().find_map(Command::refusal)
    }

    /// A reader for git's report on this push.
    pub(super) fn report(&self) -> Report {
        Report { banded: self.banded, outer: Some(Packets::default()), ..Report::default() }
    }

    /// The answer to a push that is refused as a whole, as git would give it.
    pub(super) fn refuse(&self, problem: &Problem) -> Vec<u8> {
        let mut report = Vec::new();
        encode(b"unpack ok\n", &mut report);
        for command in &self.commands {
            encode(&[b"ng ", &command.name[..], b" refused by Naru\n"].concat(), &mut report);
        }
        report.extend_from_slice(FLUSH);
        let mut answer = Vec::new();
        if self.banded {
            encode(format!("\x02{problem}\n").as_bytes(), &mut answer);
            for part in report.chunks(BAND_LIMIT).filter(|_| self.reports) {
                encode(&[b"\x01", part].concat(), &mut answer);
            }
            answer.extend_from_slice(FLUSH);
        } else if self.reports {
            answer = report;
        }
        answer
    }
}

/// Reads git's report while it passes by.
#[derive(Debug, Default)]
pub(super) struct Report {
    banded: bool,
    /// `None` once something could not be read: then the references tell what happened.
    outer: Option<Packets>,
    inner: Packets,
    results: BTreeMap<Vec<u8>, Result<(), String>>,
}

impl Report {
    /// Looks at a part of git's answer.
    pub(super) fn watch(&mut self, bytes: &[u8]) {
        let Some(outer) = &mut self.outer else { return };
        outer.feed(bytes);
        let mut lines = Vec::new();
        let understood = (|| {
            while let Some(packet) = outer.next()? {
                match packet {
                    Packet::Content(content) if !self.banded => lines.push(content),
                    Packet::Content(content) if content.first() == Some(&1) => self.inner.feed(&content[1..]),
                    _ => {}
                }
            }
            while let Some(packet) = self.inner.next()? {
                if let Packet::Content(content) = packet {
                    lines.push(content);
                }
            }
            Ok::<_, Malformed>(())
        })();
        if understood.is_err() {
            self.outer = None;
        }
        for line in &lines {
            self.take_line(line);
        }
    }

    fn take_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(name) = line.strip_prefix(b"ok ") {
            self.results.insert(name.to_vec(), Ok(()));
        } else if let Some(rest) = line.strip_prefix(b"ng ") {
            let mut parts = rest.splitn(2, |byte| *byte == b' ');
            let name = parts.next().unwrap_or_default().to_vec();
            let reason = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
            self.results.insert(name, Err(reason));
        }
    }

    /// What git said about a command: taken, refused and why, or nothing.
    pub(super) fn result(&self, command: &Command) -> Option<&Result<(), String>> {
        self.results.get(&command.name[..])
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn push(lines: &[String]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in lines {
            encode(line.as_bytes(), &mut bytes);
        }
        bytes.extend_from_slice(b"0000PACK...");
        bytes
    }

    async fn head(bytes: Vec<u8>) -> Result<Head, HeadError> {
        Head::read(&mut RequestBody::new(Body::from(bytes), false, 10 << 20)).await
    }

    fn command(name: &str) -> String {
        format!("{} {} {name}", "0".repeat(40), "a".repeat(40))
    }

    #[tokio::test]
    async fn commands_are_read_and_nothing_of_the_body_is_lost() {
        let bytes = push(&[
            format!("{}\0 report-status side-band-64k agent=git/2", command("refs/heads/main")),
            format!("{} {} refs/tags/v1\n", "b".repeat(40), "0".repeat(40)),
            format!("shallow {}", "c".repeat(40)),
        ]);
        let head = head(bytes.clone()).await.unwrap();
        assert_eq!(head.bytes, bytes);
        assert_eq!(head.commands.len(), 2);
        assert_eq!(
            (&head.commands[0].old, head.commands[0].shown_name().as_str()),
            (&None, "refs/heads/main")
        );
        assert_eq!(head.commands[1].new, None);
        assert!(head.refusal().is_none() && head.banded && head.reports);
        assert!(
            Head::read(&mut RequestBody::new(Body::from("0000"), false, 10))
                .await
                .unwrap()
                .commands
                .is_empty()
        );
    }

    #[tokio::test]
    async fn names_that_naru_does_not_accept_are_refused_with_a_reason() {
        let long = format!("refs/heads/{}", "x".repeat(300));
        for bad in [
            "refs/heads/a..b",
            "refs/heads/a;b",
            "refs/heads/$(id)",
            "refs/heads/a\nb",
            "refs/heads/-x",
            &long,
            "refs/notes/x",
            "HEAD",
            "refs/heads/",
            "refs/tags/a b",
            "../../etc/passwd",
        ] {
            let head = head(push(&[command(bad)])).await.unwrap();
            let problem = head.refusal().unwrap_or_else(|| panic!("{bad:?} was accepted"));
            assert!(!problem.to_string().contains('\0') && problem.summary.len() < 400, "{problem}");
            assert!(
                head.commands[0].shown_name().len() <= 300 && !head.commands[0].shown_name().contains('\n')
            );
        }
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        assert!(matches!(head(b"GET / HTTP".to_vec()).await, Err(HeadError::Malformed(_))));
        assert!(matches!(head(push(&["xyz".into()])).await, Err(HeadError::Malformed(_))));
        assert!(matches!(head(b"0010".to_vec()).await, Err(HeadError::Malformed(_))));
        let many: Vec<_> = (0..1001).map(|number| command(&format!("refs/heads/b{number}"))).collect();
        assert_eq!(head(push(&many)).await, Err(HeadError::TooMany));
    }

    #[tokio::test]
    async fn our_own_refusal_reads_like_a_report_of_git() {
        for capabilities in ["\0report-status side-band-64k", "\0report-status"] {
            let head = head(push(&[format!("{}{capabilities}", command("refs/heads/a;b"))])).await.unwrap();
            let answer = head.refuse(&head.refusal().unwrap());
            let mut report = head.report();
            answer.chunks(7).for_each(|part| report.watch(part));
            assert_eq!(report.result(&head.commands[0]), Some(&Err("refused by Naru".into())));
        }
    }
}
