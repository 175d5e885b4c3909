//! How a new revision of a service takes over: the strategies, as people write them and as the planner reads them. In a
//! manifest the same stands as JSON in one annotation.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::amount::{Percent, TimeSpan, scalar};

/// How a new revision takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// New replicas start and become ready, requests move, old ones drain and stop.
    Rolling(Rolling),
    /// The new revision is complete before requests move, and the old one stays for a while after.
    BlueGreen(BlueGreen),
    /// Requests move in steps, each judged before the next.
    Canary(Canary),
}

impl Default for Strategy {
    fn default() -> Self {
        Self::Rolling(Rolling::default())
    }
}

/// Settings of `rolling`. Both limits cannot be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ surge, unavailable }")]
pub struct Rolling {
    /// How many more replicas than usual may run meanwhile. A percentage is rounded up.
    #[serde(default = "Rolling::default_surge")]
    pub surge: Portion,
    /// How many fewer replicas than usual may be ready meanwhile. A percentage is rounded down.
    #[serde(default)]
    pub unavailable: Portion,
}

impl Rolling {
    const fn default_surge() -> Portion {
        Portion::Replicas(4)
    }
}

impl Default for Rolling {
    fn default() -> Self {
        Self { surge: Self::default_surge(), unavailable: Portion::default() }
    }
}

/// Settings of `blue-green`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ keep, promote }")]
pub struct BlueGreen {
    /// How long the old revision stays ready to return to.
    #[serde(default = "BlueGreen::default_keep")]
    pub keep: TimeSpan,
    /// `automatic`: requests move as soon as the new revision is ready. `manual`: they wait for `naru rollout promote`,
    /// and until then the new revision answers at `next--<host>`.
    #[serde(default)]
    pub promote: Promotion,
}

impl BlueGreen {
    const fn default_keep() -> TimeSpan {
        TimeSpan::seconds(600)
    }
}

impl Default for BlueGreen {
    fn default() -> Self {
        Self { keep: Self::default_keep(), promote: Promotion::default() }
    }
}

/// Who says that requests may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Promotion {
    /// Nobody needs to.
    #[default]
    Automatic,
    /// A person.
    Manual,
}

/// Settings of `canary`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ steps, pause, analysis, sticky }")]
pub struct Canary {
    /// The shares of requests that the new revision gets, rising.
    pub steps: Vec<Percent>,
    /// How long each step takes at least.
    #[serde(default = "Canary::default_pause")]
    pub pause: TimeSpan,
    /// What must hold for the next step.
    #[serde(default)]
    pub analysis: Analysis,
    /// Keeps each visitor with one revision: `cookie`, or `header` and the name of the request header to tell them apart by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Stickiness>,
}

impl Canary {
    const fn default_pause() -> TimeSpan {
        TimeSpan::seconds(60)
    }
}

/// A number of replicas, as such or as a share of those that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "super::amount::ScalarText", into = "String")]
pub enum Portion {
    /// So many.
    Replicas(u32),
    /// Hundredths of those that are wanted.
    Percent(u32),
}

scalar!(Portion, "a number of replicas or a percentage, such as 2 or 25%", ["2", "25%"]);

impl Portion {
    /// The number, rounded up.
    pub const fn rounded_up(self, wanted: u32) -> u32 {
        match self {
            Self::Replicas(count) => count,
            Self::Percent(share) => (wanted * share).div_ceil(100),
        }
    }

    /// The number, rounded down.
    pub const fn rounded_down(self, wanted: u32) -> u32 {
        match self {
            Self::Replicas(count) => count,
            Self::Percent(share) => wanted * share / 100,
        }
    }

    const fn is_zero(self) -> bool {
        matches!(self, Self::Replicas(0) | Self::Percent(0))
    }
}

impl Default for Portion {
    fn default() -> Self {
        Self::Replicas(0)
    }
}

impl FromStr for Portion {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_suffix('%') {
            Some(share) => Ok(Self::Percent(number(share, 0..=100)?)),
            None => Ok(Self::Replicas(number(text, 0..=1_000)?)),
        }
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replicas(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

/// What must hold of a step of a canary, the new revision measured against the old in the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "super::amount::ScalarText", into = "String")]
pub struct Analysis {
    /// By how much the share of failed requests may exceed that of the old revision, in hundredths of a percent: it must
    /// stay below. `None`: it is not looked at.
    pub errors: Option<u32>,
    /// How long 95 of 100 requests may take at most, in percent of what they take at the old revision: it must stay
    /// below. `None`: it is not looked at.
    pub latency: Option<u32>,
    /// How many requests each revision must have answered before anything is concluded.
    pub requests: u32,
}

scalar!(
    Analysis,
    "a list of conditions such as `errors < 1%`, `latency < 150%` and `requests >= 50`, joined by `and`",
    ["errors < 1%", "errors < 0.5% and latency < 150% and requests >= 200"]
);

impl Analysis {
    const REQUESTS: u32 = 50;
}

impl Default for Analysis {
    fn default() -> Self {
        Self { errors: Some(100), latency: None, requests: Self::REQUESTS }
    }
}

impl FromStr for Analysis {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (mut errors, mut latency, mut requests) = (None, None, None);
        for condition in text.split(" and ") {
            let words: Vec<&str> = condition.split_whitespace().collect();
            let (slot, limit) = match words[..] {
                ["errors", "<", share] => (&mut errors, hundredths(share)?),
                ["latency", "<", share] => {
                    (&mut latency, number(share.strip_suffix('%').ok_or(())?, 101..=10_000)?)
                }
                ["requests", ">=", count] => (&mut requests, number(count, 1..=1_000_000)?),
                _ => return Err(()),
            };
            if slot.replace(limit).is_some() {
                return Err(());
            }
        }
        Ok(Self { errors, latency, requests: requests.unwrap_or(Self::REQUESTS) })
    }
}

impl fmt::Display for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(errors) = self.errors {
            write!(f, "errors < {} and ", Hundredths(errors))?;
        }
        if let Some(latency) = self.latency {
            write!(f, "latency < {latency}% and ")?;
        }
        write!(f, "requests >= {}", self.requests)
    }
}

/// A share in hundredths of a percent, from 0.01% to 100%.
fn hundredths(text: &str) -> Result<u32, ()> {
    let text = text.strip_suffix('%').ok_or(())?;
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || part.len() > 2 {
        return Err(());
    }
    let scale = if part.len() == 1 { 10 } else { 1 };
    let share = number(whole, 0..=100)? * 100 + number(part, 0..=99)? * scale;
    if (1..=10_000).contains(&share) { Ok(share) } else { Err(()) }
}

/// Writes hundredths of a percent, such as `0.5%`.
pub(crate) struct Hundredths(pub(crate) u32);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match part {
            0 => write!(f, "{whole}%"),
            part if part.is_multiple_of(10) => write!(f, "{whole}.{}%", part / 10),
            part => write!(f, "{whole}.{part:02}%"),
        }
    }
}

/// What tells visitors apart, so that each stays with one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "super::amount::ScalarText", into = "String")]
pub enum Stickiness {
    /// A session cookie that the edge sets.
    Cookie,
    /// The value of this request header, in lower case.
    Header(String),
}

scalar!(Stickiness, "`cookie`, or `header` and the name of a request header", ["cookie", "header x-user"]);

impl FromStr for Stickiness {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            ["cookie"] => Ok(Self::Cookie),
            ["header", name] => {
                let name = name.to_ascii_lowercase();
                let fits = name.len() <= 100 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                if fits { Ok(Self::Header(name)) } else { Err(()) }
            }
            _ => Err(()),
        }
    }
}

impl fmt::Display for Stickiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie => f.write_str("cookie"),
            Self::Header(name) => write!(f, "header {name}"),
        }
    }
}

/// Digits and nothing else, within a range.
fn number(text: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, ()> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(());
    }
    text.parse().ok().filter(|number| range.contains(number)).ok_or(())
}

/// The most steps of a canary.
const STEPS_MAX: usize = 20;

impl Strategy {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rolling(_) => "rolling",
            Self::BlueGreen(_) => "blue-green",
            Self::Canary(_) => "canary",
        }
    }

    /// What is wrong with it by itself, and with a service that has an exclusive volume or no port: the key below the
    /// strategy's name, and a sentence.
    pub(crate) fn fault(
        &self,
        exclusive: Option<&str>,
        has_port: bool,
    ) -> Option<(Option<&'static str>, String)> {
        let name = self.name();
        match self {
            Self::Rolling(rolling) if rolling.surge.is_zero() && rolling.unavailable.is_zero() => {
                let message = "nothing could move: expected `surge` or `unavailable` above 0";
                return Some((None, message.to_owned()));
            }
            Self::Rolling(_) => return None,
            Self::Canary(canary) => {
                let rising = canary.steps.windows(2).all(|pair| pair[0] < pair[1]);
                let below = canary.steps.last().is_some_and(|last| last.get() < 100);
                if !rising || !below || canary.steps.len() > STEPS_MAX {
                    let message = "expected rising percentages below 100%, such as [5%, 25%, 50%]";
                    return Some((Some("steps"), message.to_owned()));
                }
            }
            Self::BlueGreen(_) => {}
        }
        if let Some(volume) = exclusive {
            return Some((
                None,
                format!(
                    "`{name}` runs two revisions side by side, and only one may have the exclusive volume \
                     `{volume}`: expected `rolling`, or `access: shared`"
                ),
            ));
        }
        if !has_port {
            return Some((
                None,
                format!(
                    "`{name}` moves requests, and this service gets none: expected `rolling`, or a `port`"
                ),
            ));
        }
        None
    }
}

/// `rolling`, or a mapping of one name to its settings.
impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyForm;
        impl<'de> Visitor<'de> for AnyForm {
            type Value = Strategy;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rolling, blue-green or canary, alone or as { <name>: { <settings> } }")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Strategy, E> {
                match name {
                    "rolling" => Ok(Strategy::default()),
                    "blue-green" => Ok(Strategy::BlueGreen(BlueGreen::default())),
                    "canary" => {
                        Err(E::custom("expected settings, such as { canary: { steps: [5%, 25%, 50%] } }"))
                    }
                    other => Err(E::unknown_variant(other, NAMES)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strategy, A::Error> {
                let Some(name) = map.next_key::<String>()? else {
                    return Err(A::Error::invalid_length(0, &self));
                };
                let strategy = match name.as_str() {
                    "rolling" => Strategy::Rolling(map.next_value()?),
                    "blue-green" => Strategy::BlueGreen(map.next_value()?),
                    "canary" => Strategy::Canary(map.next_value()?),
                    other => return Err(A::Error::unknown_variant(other, NAMES)),
                };
                match map.next_key::<String>()? {
                    None => Ok(strategy),
                    Some(_) => Err(A::Error::invalid_length(2, &self)),
                }
            }
        }
        deserializer.deserialize_any(AnyForm)
    }
}

const NAMES: &[&str] = &["rolling", "blue-green", "canary"];

impl schemars::JsonSchema for Strategy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Strategy".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = |name: &str, settings: schemars::Schema| {
            schemars::json_schema!({
                "type": "object", "properties": { name: settings }, "required": [name], "additionalProperties": false
            })
        };
        let rolling = one("rolling", generator.subschema_for::<Rolling>());
        let blue_green = one("blue-green", generator.subschema_for::<BlueGreen>());
        let canary = one("canary", generator.subschema_for::<Canary>());
        schemars::json_schema!({
            "anyOf": [{ "enum": ["rolling", "blue-green"] }, rolling, blue_green, canary]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Strategy, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn strategies_are_written_back_as_they_are_read() {
        for text in [
            r#"{"rolling":{"surge":"25%","unavailable":"1"}}"#,
            r#"{"blue-green":{"keep":"10m","promote":"manual"}}"#,
            r#"{"canary":{"steps":["5%","25%"],"pause":"30s","analysis":"errors < 0.05% and latency < 150% and requests >= 20","sticky":"header x-user"}}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        assert_eq!(read(r#""rolling""#), Ok(Strategy::default()), "as earlier versions stored it");
        assert_eq!(read(r#""blue-green""#), Ok(Strategy::BlueGreen(BlueGreen::default())));
        let Ok(Strategy::Canary(canary)) = read(r#"{"canary":{"steps":["5%"]}}"#) else { panic!() };
        assert_eq!(canary.analysis, "errors < 1%".parse().unwrap());
        assert_eq!(canary.pause, TimeSpan::seconds(60));
    }

    #[test]
    fn what_is_not_a_strategy_is_refused() {
        for bad in [
            r#""canary""#,
            r#""sideways""#,
            "{}",
            r#"{"rolling":{},"canary":{"steps":["5%"]}}"#,
            r#"{"canary":{}}"#,
            r#"{"canary":{"steps":["5%"],"sticky":"header"}}"#,
            r#"{"canary":{"steps":["5%"],"sticky":"header a b"}}"#,
            r#"{"canary":{"steps":["5%"],"sticky":"header naïve"}}"#,
            r#"{"blue-green":{"promote":"maybe"}}"#,
            r#"{"rolling":{"surge":"101%"}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        for bad in [
            "",
            "errors",
            "errors < 0%",
            "errors < 1",
            "errors > 1%",
            "errors < 1.234%",
            "errors < 1%, latency < 150%",
            "latency < 100%",
            "requests >= 0",
            "errors < 1% and errors < 2%",
            "errors < 101%",
            "errors < 1. %",
        ] {
            assert!(bad.parse::<Analysis>().is_err(), "{bad}");
        }
    }

    #[test]
    fn portions_are_rounded_so_that_something_moves() {
        let quarter: Portion = "25%".parse().unwrap();
        assert_eq!((quarter.rounded_up(2), quarter.rounded_down(2)), (1, 0));
        assert_eq!((quarter.rounded_up(8), quarter.rounded_down(8)), (2, 2));
        assert_eq!(Portion::Replicas(3).rounded_up(1), 3);
    }
}
