//! Target of the fuzzer (`fuzz/`): what the registry reads of an upload before it believes it.

use super::access::{parse_digest, repository_in_query};
use super::document;
use super::range::{ChunkRange, Part};

/// Four lines, the chunk's range, the digest, the repository and the media type, and behind them the manifest: read or
/// refused; what was read cannot lead out of its place.
pub fn upload(bytes: &[u8]) {
    let mut parts = bytes.splitn(5, |byte| *byte == b'\n');
    let mut line = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (range, digest, name, media_type) = (line(), line(), line(), line());
    let manifest = parts.next().unwrap_or_default();

    if let Some(chunk) = ChunkRange::parse(&range) {
        assert!(chunk.start <= chunk.end && chunk.length() == chunk.end - chunk.start + 1);
        let Part::Bytes { start, end } = Part::parse(Some(&format!("bytes={range}")), chunk.end + 1) else {
            panic!("{range} is a range of a chunk, and none of a download");
        };
        assert_eq!((start, end), (chunk.start, chunk.end));
    }
    if let Ok(read) = parse_digest(&digest) {
        assert_eq!(read.to_string(), digest);
        assert!(!digest.contains(['/', '\\', '\0']), "{digest}");
    }
    if let Some(repository) = repository_in_query(&name) {
        let text = format!("{}/{}", repository.project, repository.name);
        assert_eq!(text, name);
        assert!(text.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{text}");
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\:?#%".contains(&byte)), "{text}");
    }
    match document::read(Some(&media_type), manifest) {
        Err(refusal) => assert!(!refusal.is_empty()),
        Ok(read) => {
            assert_eq!(document::read(Some(&read.media_type), manifest), Ok(read));
        }
    }
}

#[cfg(test)]
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_of_strangers() {
        replay::corpus("upload", 20_000, upload);
    }
}
