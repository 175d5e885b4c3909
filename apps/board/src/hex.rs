//! Bytes as lowercase hexadecimal text, and random text of that form.

use std::fmt::Write;

/// Two digits per byte.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes, if the text is what [`encode`] makes.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// Text of 256 random bits.
pub fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_undoes_encode_and_refuses_the_rest() {
        assert_eq!(decode(&encode(&[0, 15, 255])), Some(vec![0, 15, 255]));
        for bad in ["a", "0G", "AA", "é0"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
