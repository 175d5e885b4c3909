//! Quantities as people write them in `naru.yaml`: durations, sizes, CPU shares, percentages. Each knows its unit, and
//! is written back in the form it is read in.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The text of a scalar exactly as it stands in the file: `1.10` stays `1.10`, `no` stays `no`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct ScalarText(pub String);

impl ScalarText {
    /// What a deserializer that still has the text looks for: asked for a newtype of this name, it hands the text over.
    pub(super) const NAME: &'static str = "ScalarText";
}

impl<'de> Deserialize<'de> for ScalarText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = ScalarText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true or false")
            }
            fn visit_newtype_struct<D: serde::Deserializer<'de>>(
                self,
                inner: D,
            ) -> Result<ScalarText, D::Error> {
                inner.deserialize_any(self)
            }
            fn visit_str<E>(self, text: &str) -> Result<ScalarText, E> {
                Ok(ScalarText(text.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<ScalarText, E> {
                Ok(ScalarText(number.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<ScalarText, E> {
                Ok(ScalarText(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<ScalarText, E> {
                Ok(ScalarText(number.to_string()))
            }
            fn visit_bool<E>(self, truth: bool) -> Result<ScalarText, E> {
                Ok(ScalarText(truth.to_string()))
            }
        }
        deserializer.deserialize_newtype_struct(Self::NAME, Visitor)
    }
}

impl schemars::JsonSchema for ScalarText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ScalarText".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// Serde and schema for a type that is written as one scalar and parsed from its text.
macro_rules! scalar {
    ($name:ident, $expected:literal, $examples:expr) => {
        impl TryFrom<super::amount::ScalarText> for $name {
            type Error = String;
            fn try_from(text: super::amount::ScalarText) -> Result<Self, String> {
                text.0.parse().map_err(|()| {
                    let shown: String = text.0.chars().take(80).collect();
                    format!("{shown:?} is not {}", $expected)
                })
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": ["string", "number"], "description": $expected, "examples": $examples
                })
            }
        }
    };
}
pub(super) use scalar;

/// A length of time: whole seconds, up to 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ScalarText", into = "String")]
pub struct TimeSpan(Duration);

scalar!(
    TimeSpan,
    "a duration: a whole number and s, m, h or d, such as 90s or 10m",
    ["90s", "10m", "1h", "3d"]
);

impl TimeSpan {
    /// A length of this many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// As a [`Duration`].
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for TimeSpan {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, unit) = split_number(text).ok_or(())?;
        let seconds: u64 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(()),
        };
        let total = number.parse::<u64>().ok().and_then(|n| n.checked_mul(seconds)).ok_or(())?;
        if total == 0 || total > 366 * 86_400 { Err(()) } else { Ok(Self::seconds(total)) }
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s if s % 3600 == 0 => write!(f, "{}h", s / 3600),
            s if s % 60 == 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

/// A number of bytes, up to 1 PiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ScalarText", into = "String")]
pub struct ByteAmount(u64);

scalar!(ByteAmount, "a size: a whole number and Ki, Mi, Gi or Ti, such as 512Mi or 1Gi", ["512Mi", "1Gi"]);

impl ByteAmount {
    /// This many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteAmount {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, unit) = split_number(text).ok_or(())?;
        let shift = match unit {
            "" => 0,
            "Ki" => 10,
            "Mi" => 20,
            "Gi" => 30,
            "Ti" => 40,
            _ => return Err(()),
        };
        let total = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)).ok_or(())?;
        if total == 0 || total > 1 << 50 { Err(()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for ByteAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
            if self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        self.0.fmt(f)
    }
}

/// A share of CPU in thousandths of one, up to 1,024 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ScalarText", into = "String")]
pub struct CpuAmount(u32);

scalar!(CpuAmount, "a number of CPUs, such as 2, 0.5 or 250m", ["2", "0.5", "250m"]);

impl CpuAmount {
    /// Thousandths of a CPU.
    pub const fn millis(self) -> u32 {
        self.0
    }
}

impl FromStr for CpuAmount {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let millis = if let Some(millis) = text.strip_suffix('m') {
            digits(millis)?
        } else {
            let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
            if part.len() > 3 {
                return Err(());
            }
            let scale = 10_u32.pow(3 - u32::try_from(part.len()).map_err(|_| ())?);
            digits(whole)?
                .checked_mul(1000)
                .and_then(|m| m.checked_add(digits(part).ok()? * scale))
                .ok_or(())?
        };
        if millis == 0 || millis > 1_024_000 { Err(()) } else { Ok(Self(millis)) }
    }
}

impl fmt::Display for CpuAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) { write!(f, "{}", self.0 / 1000) } else { write!(f, "{}m", self.0) }
    }
}

/// A percentage from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ScalarText", into = "String")]
pub struct Percent(u8);

scalar!(Percent, "a percentage from 1% to 100%", ["70%"]);

impl Percent {
    /// The number before the sign.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let number = digits(text.strip_suffix('%').ok_or(())?)?;
        if (1..=100).contains(&number) { u8::try_from(number).map(Self).map_err(|_| ()) } else { Err(()) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A TCP port from 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ScalarText", into = "u16")]
pub struct Port(u16);

scalar!(Port, "a port from 1 to 65535", [8080]);

impl Port {
    /// What a Dockerfile without `EXPOSE` is taken to listen on.
    pub const DEFAULT: Self = Self(8080);
    /// What the image made of static files listens on.
    pub const STATIC: Self = Self(80);

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> u16 {
        port.0
    }
}

impl FromStr for Port {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match digits(text)? {
            0 => Err(()),
            port => u16::try_from(port).map(Self).map_err(|_| ()),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A count of replicas from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ScalarText", into = "u32")]
pub struct Count(u32);

scalar!(Count, "a number of replicas from 1 to 100", [2]);

impl Count {
    /// Just one.
    pub const ONE: Self = Self(1);

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl From<Count> for u32 {
    fn from(count: Count) -> u32 {
        count.0
    }
}

impl FromStr for Count {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let number = digits(text)?;
        if (1..=100).contains(&number) { Ok(Self(number)) } else { Err(()) }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Digits and nothing else, not even a sign.
pub(super) fn digits(text: &str) -> Result<u32, ()> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(());
    }
    text.parse().map_err(|_| ())
}

/// A leading whole number and what follows it.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 || end > 19 { None } else { Some(text.split_at(end)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_back_as_they_are_read() {
        for text in ["90s", "10m", "1h", "3d"] {
            assert_eq!(text.parse::<TimeSpan>().unwrap().to_string(), text);
        }
        for text in ["512Mi", "1Gi", "3Ti", "1000"] {
            assert_eq!(text.parse::<ByteAmount>().unwrap().to_string(), text);
        }
        for (text, millis) in [("2", 2000), ("0.5", 500), ("250m", 250), ("1.125", 1125)] {
            assert_eq!(text.parse::<CpuAmount>().unwrap().millis(), millis);
        }
        assert_eq!("120s".parse::<TimeSpan>().unwrap().to_string(), "2m");
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for bad in ["", "0s", "10", "-1s", "1.5h", "10 m", "99999999999999999999s", "400d", "s"] {
            assert!(bad.parse::<TimeSpan>().is_err(), "{bad}");
        }
        for bad in ["", "0", "1GB", "1g", "-1Mi", "99999999Ti", "1.5Gi"] {
            assert!(bad.parse::<ByteAmount>().is_err(), "{bad}");
        }
        for bad in ["", "0", "0m", "-1", "1.2345", "1e3", ".", "1025", "1.", ".5m"] {
            assert!(bad.parse::<CpuAmount>().is_err(), "{bad}");
        }
        for bad in ["0%", "101%", "70", "%", "-1%"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
        for bad in ["0", "65536", "-1", "+80", "8080.0", "http"] {
            assert!(bad.parse::<Port>().is_err(), "{bad}");
        }
    }
}
