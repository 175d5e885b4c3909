//! Small values and how Kubernetes writes them: quantities, durations, secret objects, `$(NAME)` escapes, hosts and
//! paths. Each pair of functions is the inverse of the other.

use std::time::Duration;

use serde_json::Value as Tree;
use sha2::Digest as _;

use super::limit;
use crate::id::SecretVersion;
use crate::name::SecretName;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// `500m`, or `2` for whole CPUs.
pub(super) fn cpu_text(millis: u32) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
}

/// Thousandths of a CPU from `500m`, `0.5`, `2` or the number itself.
pub(super) fn cpu_millis(quantity: &Tree) -> Result<u32, String> {
    thousandths(quantity)
        .and_then(|millis| u32::try_from(millis).ok())
        .filter(|millis| *millis > 0)
        .ok_or_else(|| expected(quantity, "a number of CPUs such as 2, 0.5 or 500m, above 0"))
}

/// `256Mi`, `1Gi`, or the bytes.
pub(super) fn bytes_text(bytes: u64) -> String {
    match bytes {
        whole if whole.is_multiple_of(GIB) => format!("{}Gi", whole / GIB),
        whole if whole.is_multiple_of(MIB) => format!("{}Mi", whole / MIB),
        other => other.to_string(),
    }
}

/// Bytes from `256Mi`, `1.5Gi`, `500M`, `1024` or the number itself.
pub(super) fn bytes(quantity: &Tree) -> Result<u64, String> {
    thousandths(quantity)
        .filter(|thousandths| thousandths % 1000 == 0)
        .and_then(|thousandths| u64::try_from(thousandths / 1000).ok())
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| {
            expected(quantity, "a whole number of bytes such as 256Mi, 1Gi or 1073741824, above 0")
        })
}

fn expected(quantity: &Tree, what: &str) -> String {
    let given: String = quantity.to_string().chars().take(40).collect();
    format!("{given} is not {what}")
}

/// A Kubernetes quantity in thousandths. Fractions below a thousandth are refused instead of rounded.
fn thousandths(quantity: &Tree) -> Option<u128> {
    let text = match quantity {
        Tree::String(text) => text.clone(),
        Tree::Number(number) => number.to_string(),
        _ => return None,
    };
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let factor: u128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || whole.len() > 20 || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scaled = digits.checked_mul(factor)?;
    (scaled % scale == 0).then(|| scaled / scale)
}

/// Whole seconds, rounded up: Kubernetes knows no others.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// `60s`.
pub(super) fn seconds_text(duration: Duration) -> String {
    format!("{}s", whole_seconds(duration))
}

/// A duration from `90s`, `5m` or `1h`, from one second to one day.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = [("s", 1), ("m", 60), ("h", 3600)].iter().find_map(|(suffix, factor)| {
        let digits = text.strip_suffix(suffix)?;
        let clean = !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit());
        clean.then(|| digits.parse::<u64>().ok().map(|count| count * factor)).flatten()
    });
    match parsed {
        Some(count) if (1..=limit::SECONDS).contains(&count) => Ok(Duration::from_secs(count)),
        _ => Err(format!("{} is not a duration such as 90s, 5m or 1h, from 1s to 24h", shorten(text))),
    }
}

/// A text of unknown length and content, quoted for a message.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// The name of the immutable Kubernetes Secret that holds one version of a secret: `DATABASE_URL` at version 3 is
/// `database-url-v3`. The value is under the key `DATABASE_URL` in it.
///
/// Names that are not plain upper case get a piece of their SHA-256, since `Key` and `KEY` would otherwise meet.
pub fn secret_object(name: &SecretName, version: SecretVersion) -> String {
    let text = name.as_str();
    let plain = text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && !text.starts_with('_')
        && !text.ends_with('_');
    let base = text.to_ascii_lowercase().replace('_', "-");
    if plain {
        return format!("{base}-v{version}");
    }
    let piece = hex::encode(&sha2::Sha256::digest(text)[..4]);
    format!("{}-{piece}-v{version}", base.trim_matches('-')).trim_start_matches('-').to_owned()
}

/// The version in a secret object's name, when it is the object of this secret.
pub(super) fn secret_version(object: &str, name: &SecretName) -> Option<SecretVersion> {
    let version: SecretVersion = object.rsplit_once("-v")?.1.parse().ok()?;
    (version.0 > 0 && secret_object(name, version) == object).then_some(version)
}

/// Protects a text from Kubernetes' own expansion: `$(NAME)` in commands and variables means another variable there,
/// and `$$` is one dollar sign.
pub(super) fn escape_dollar(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        escaped.push(character);
        if character == '$' && matches!(characters.peek(), Some('$' | '(')) {
            escaped.push('$');
        }
    }
    escaped
}

/// What a process would get for a text in a manifest. References to other variables are refused.
pub(super) fn unescape_dollar(text: &str) -> Result<String, String> {
    if text.contains('\0') {
        return Err("no process can be given a NUL character".to_owned());
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        plain.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some(end) = rest.strip_prefix('(').and_then(|inner| inner.find(')')) {
            let reference = shorten(&rest[1..=end]);
            return Err(format!("it refers to the variable {reference}; write $$( for a literal $("));
        }
    }
    plain.push_str(rest);
    Ok(plain)
}

/// A host name in lower case, without port.
pub(super) fn is_host(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

/// A path prefix as the Gateway API takes it: absolute, no empty or dot segments, no query, no fragment.
pub(super) fn is_path_prefix(text: &str) -> bool {
    is_request_path(text)
        && !text.contains(['?', '%'])
        && !text.contains("//")
        && text.split('/').all(|segment| segment != "." && segment != "..")
}

/// What can stand in a request line after the method.
pub(super) fn is_request_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 1024 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// An absolute path within a container.
pub(super) fn is_mount_path(text: &str) -> bool {
    text.len() > 1
        && text.starts_with('/')
        && text.len() <= 1024
        && !text.contains([':', ',', '\0'])
        && !text.chars().any(char::is_control)
        && text[1..].split('/').all(|segment| !segment.is_empty() && segment != "." && segment != "..")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_exact_or_refused() {
        assert_eq!(cpu_millis(&json!("500m")), Ok(500));
        assert_eq!(cpu_millis(&json!(0.25)), Ok(250));
        assert_eq!(cpu_millis(&json!(2)), Ok(2000));
        assert_eq!(bytes(&json!("1.5Gi")), Ok(3 << 29));
        assert_eq!(bytes(&json!("500M")), Ok(500_000_000));
        for bad in [
            json!("0"),
            json!(""),
            json!("-1"),
            json!("1e3"),
            json!("1.2345m"),
            json!("5x"),
            json!(null),
            json!("..5"),
        ] {
            assert!(cpu_millis(&bad).is_err(), "{bad}");
        }
        assert!(bytes(&json!("0.5")).is_err());
        assert!(bytes(&json!("99999999999999999999Ti")).is_err());
    }

    #[test]
    fn dollar_signs_mean_to_kubernetes_what_they_mean_to_the_process() {
        for text in ["$", "$$", "a$b", "$(HOME)", "$$(HOME)", "$(", "cost: 5$", "$$$(x)$"] {
            assert_eq!(unescape_dollar(&escape_dollar(text)).as_deref(), Ok(text));
        }
        assert_eq!(escape_dollar("$HOME"), "$HOME");
        assert!(unescape_dollar("a $(HOME) b").unwrap_err().contains("HOME"));
    }

    #[test]
    fn secret_objects_name_one_secret_each() {
        let of = |text: &str| secret_object(&text.parse().unwrap(), SecretVersion(3));
        assert_eq!(of("DATABASE_URL"), "database-url-v3");
        assert_ne!(of("Key"), of("KEY"));
        assert_ne!(of("_KEY"), of("KEY_"));
        assert!(of("___").starts_with(|c: char| c.is_ascii_alphanumeric()), "{}", of("___"));
        let name: SecretName = "DATABASE_URL".parse().unwrap();
        assert_eq!(secret_version("database-url-v3", &name), Some(SecretVersion(3)));
        for other in ["database-url-v0", "database-url-v03", "database-url", "other-v3", "database-url-v-1"] {
            assert_eq!(secret_version(other, &name), None, "{other}");
        }
    }

    #[test]
    fn durations_are_whole_seconds() {
        assert_eq!(seconds("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(seconds_text(Duration::from_millis(1500)), "2s");
        for bad in ["", "5", "0s", "1d", "-1s", "1.5s", "25h", "9999999s", "+1s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
