//! Answers of the edge itself: short, calm, in the client's language and format, without internals.

use askama::Template;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use naru_model::Timestamp;

use super::head::Refusal;
use super::notice::Notice;
use super::words::{Words, words};

/// Why no replica's answer reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The request itself.
    Refused(Refusal),
    /// 431.
    HeadTooLarge,
    /// 408: the body did not arrive.
    BodyStalled,
    /// 400: the body broke off or was malformed.
    BodyBroken,
    /// 413: the body is larger than the route takes.
    BodyTooLarge,
    /// 429: the client asks this route too often; it may come back in so many seconds.
    TooOften(u32),
    /// 404: no route for host and path.
    NoRoute,
    /// 502: no connection could be made.
    Unreachable,
    /// 502: the connection broke before an answer.
    BrokeOff,
    /// 502: what came back is not an answer.
    Nonsense,
    /// 503: the route has no replica.
    NoReplica,
    /// 503: the environment is closed for maintenance.
    Maintenance,
    /// 503: too many requests wait on the held route.
    HoldFull,
    /// 503: the route stayed held.
    HoldOver,
    /// 504: no answer in time.
    TooSlow,
}

/// The formats and languages a client accepts, kept while its head is on its way to the replica.
#[derive(Debug, Default, Clone)]
pub(super) struct Manner {
    accept: Option<HeaderValue>,
    language: Option<HeaderValue>,
}

impl Manner {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self {
            accept: headers.get(header::ACCEPT).cloned(),
            language: headers.get(header::ACCEPT_LANGUAGE).cloned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Html,
    Json,
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Korean,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct Page<'a> {
    language: &'static str,
    status: u16,
    title: &'a str,
    sentence: &'a str,
    message: Option<&'a str>,
    until_label: &'static str,
    until: Option<String>,
    service_label: &'static str,
    service: Option<&'a str>,
    request_label: &'static str,
    request_id: &'a str,
    code: &'static str,
}

/// What a page says besides the failure.
pub(super) struct About<'a> {
    pub(super) service: Option<&'a str>,
    pub(super) request_id: &'a str,
    /// While its environment is closed for maintenance.
    pub(super) maintenance: Option<Notice<'a>>,
}

/// Renders a failure.
pub(super) fn render(failure: Failure, manner: &Manner, about: &About<'_>) -> Response<Bytes> {
    let About { service, request_id, .. } = *about;
    let notice = about.maintenance.as_ref().filter(|_| failure == Failure::Maintenance);
    let message = notice.and_then(|notice| notice.message);
    let until = notice.and_then(|notice| notice.until);
    let language = language(manner.language.as_ref());
    let format = format(manner.accept.as_ref());
    let words = words(failure, language);
    let status = failure.status();
    let text = match format {
        Format::Html => Page {
            language: if language == Language::Korean { "ko" } else { "en" },
            status: status.as_u16(),
            title: words.title,
            sentence: words.sentence,
            message,
            until_label: if language == Language::Korean { "예정" } else { "Expected back" },
            until: until.map(|until| until.strftime("%Y-%m-%d %H:%M UTC").to_string()),
            service_label: if language == Language::Korean { "서비스" } else { "Service" },
            service,
            request_label: if language == Language::Korean { "요청" } else { "Request" },
            request_id,
            code: failure.code(),
        }
        .render()
        .unwrap_or_default(),
        Format::Json => json(failure, &words, about, message, until),
        Format::Plain => format!(
            "{} {}\n{}\n{}{}{}request: {request_id}\ncode: {}\n",
            status.as_u16(),
            words.title,
            words.sentence,
            message.map(|text| format!("{text}\n")).unwrap_or_default(),
            until.map(|until| format!("expected back: {until}\n")).unwrap_or_default(),
            service.map(|name| format!("service: {name}\n")).unwrap_or_default(),
            failure.code(),
        ),
    };
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let content_type = match format {
        Format::Html => "text/html; charset=utf-8",
        Format::Json => "application/json",
        Format::Plain => "text/plain; charset=utf-8",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-language"));
    if let Some(after) = failure.retry_after().or_else(|| notice.and_then(Notice::retry_after)) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    if failure.closes() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// `message` and `until` are there only when they were given.
fn json(
    failure: Failure,
    words: &Words,
    about: &About<'_>,
    message: Option<&str>,
    until: Option<Timestamp>,
) -> String {
    let mut body = serde_json::json!({
        "code": failure.code(),
        "summary": format!("{}: {}", words.title, words.sentence),
        "service": about.service,
        "request_id": about.request_id,
    });
    let given = [("message", message.map(str::to_owned)), ("until", until.map(|until| until.to_string()))];
    for (key, text) in given {
        if let Some(text) = text {
            body[key] = text.into();
        }
    }
    body.to_string()
}

impl Failure {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Refused(Refusal::Malformed(_)) | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::Refused(Refusal::Method) => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyStalled => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Unreachable | Self::BrokeOff | Self::Nonsense => StatusCode::BAD_GATEWAY,
            Self::NoReplica | Self::Maintenance | Self::HoldFull | Self::HoldOver => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::TooSlow => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Refused(Refusal::Malformed(_)) => "edge.malformed",
            Self::Refused(Refusal::Method) => "edge.method",
            Self::HeadTooLarge => "edge.head-too-large",
            Self::BodyStalled => "edge.body-stalled",
            Self::BodyBroken => "edge.body-broken",
            Self::BodyTooLarge => "edge.body-too-large",
            Self::TooOften(_) => "edge.too-often",
            Self::NoRoute => "edge.no-route",
            Self::Unreachable => "edge.unreachable",
            Self::BrokeOff => "edge.broke-off",
            Self::Nonsense => "edge.nonsense",
            Self::NoReplica => "edge.no-replica",
            Self::Maintenance => "edge.maintenance",
            Self::HoldFull => "edge.hold-full",
            Self::HoldOver => "edge.hold-over",
            Self::TooSlow => "edge.too-slow",
        }
    }

    /// Seconds.
    fn retry_after(self) -> Option<u32> {
        match self {
            Self::TooOften(seconds) => Some(seconds),
            Self::NoReplica | Self::HoldOver => Some(5),
            Self::HoldFull => Some(10),
            _ => None,
        }
    }

    /// After these the rest of the connection cannot be trusted, or is not wanted.
    fn closes(self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::HeadTooLarge | Self::BodyStalled | Self::BodyBroken | Self::BodyTooLarge
        )
    }
}

/// The first of the two languages in the client's order of preference; English when neither is named.
fn language(accepted: Option<&HeaderValue>) -> Language {
    let text = accepted.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is = |language: &str, tag: &str| {
        tag.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(language))
            && matches!(tag.as_bytes().get(2), None | Some(b'-'))
    };
    let korean = preference(text, |tag| is("ko", tag));
    let english = preference(text, |tag| is("en", tag));
    if korean > english { Language::Korean } else { Language::English }
}

/// Html for browsers, JSON for those who ask for it, plain text for everything else.
fn format(accepted: Option<&HeaderValue>) -> Format {
    let text = accepted.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let html = preference(text, |range| range.eq_ignore_ascii_case("text/html"));
    let json = preference(text, |range| {
        range.eq_ignore_ascii_case("application/json") || range.to_ascii_lowercase().ends_with("+json")
    });
    match (html, json) {
        (0, 0) => Format::Plain,
        (html, json) if html >= json => Format::Html,
        _ => Format::Json,
    }
}

/// The highest quality of a matching item, in thousandths; 0 when none matches. RFC 9110 §12.4.2.
fn preference(list: &str, matches: impl Fn(&str) -> bool) -> u32 {
    let quality = |item: &str| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        if !matches(name) {
            return 0;
        }
        let given = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let Some(given) = given else { return 1_000 };
        let (whole, fraction) = given.split_once('.').unwrap_or((given, ""));
        if whole == "1" {
            return 1_000;
        }
        let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
        digits.parse().unwrap_or(0)
    };
    list.split(',').take(32).map(quality).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use naru_model::maintenance::Maintenance;

    use super::*;

    fn manner(accept: &'static str, language: &'static str) -> Manner {
        Manner {
            accept: Some(HeaderValue::from_static(accept)),
            language: Some(HeaderValue::from_static(language)),
        }
    }

    fn about(service: Option<&str>) -> About<'_> {
        About { service, request_id: "id-1", maintenance: None }
    }

    #[test]
    fn formats_and_languages() {
        let value = HeaderValue::from_static;
        assert_eq!(format(None), Format::Plain);
        assert_eq!(format(Some(&value("*/*"))), Format::Plain);
        assert_eq!(format(Some(&value("text/html,application/xhtml+xml;q=0.9"))), Format::Html);
        assert_eq!(format(Some(&value("application/json"))), Format::Json);
        assert_eq!(format(Some(&value("text/html;q=0.2, application/problem+json"))), Format::Json);
        assert_eq!(language(None), Language::English);
        assert_eq!(language(Some(&value("ko-KR,ko;q=0.9,en-US;q=0.8"))), Language::Korean);
        assert_eq!(language(Some(&value("en,ko;q=0.9"))), Language::English);
        assert_eq!(language(Some(&value("de, ko;q=0.1"))), Language::Korean);
        assert_eq!(language(Some(&value("kok"))), Language::English);
    }

    #[test]
    fn a_page_says_which_service_and_escapes_it() {
        let response = render(Failure::HoldOver, &manner("text/html", "ko"), &about(Some("web<script>")));
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "5");
        let text = std::str::from_utf8(response.body()).unwrap();
        assert!(text.contains("아직 교체 중") && text.contains("id-1") && text.contains("lang=\"ko\""));
        assert!(!text.contains("web<script>"), "{text}");
    }

    #[test]
    fn json_and_plain() {
        let response = render(Failure::TooSlow, &manner("application/json", "en"), &about(Some("web")));
        insta::assert_snapshot!(std::str::from_utf8(response.body()).unwrap(), @r#"{"code":"edge.too-slow","summary":"No answer in time: The service did not answer in time.","service":"web","request_id":"id-1"}"#);
        let response = render(Failure::NoRoute, &Manner::default(), &about(None));
        insta::assert_snapshot!(std::str::from_utf8(response.body()).unwrap(), @r"
        404 Nothing here
        No service answers at this address.
        request: id-1
        code: edge.no-route
        ");
    }

    #[test]
    fn maintenance_is_told_in_both_languages_and_its_message_is_text() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let told = Maintenance {
            message: Some("<script>alert(1)</script> & \"more\"\n서버 이전".to_owned()),
            until: Some("2026-11-21T14:30:00Z".parse().unwrap()),
        };
        let render = |accept, language, at: Timestamp| {
            let about = About { maintenance: Some(Notice::at(at, &told)), ..about(Some("web")) };
            render(Failure::Maintenance, &manner(accept, language), &about)
        };
        for (language, words) in [("en", ["Under maintenance", "Expected back"]), ("ko", ["점검 중", "예정"])]
        {
            let response = render("text/html", language, now);
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()["retry-after"], "9000");
            let text = std::str::from_utf8(response.body()).unwrap();
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
            assert!(text.contains("2026-11-21 14:30 UTC") && text.contains("서버 이전"), "{text}");
            assert!(text.contains("alert(1)") && !text.contains("<script>"), "{text}");
        }
        let json = render("application/json", "en", now);
        let json: serde_json::Value = serde_json::from_slice(json.body()).unwrap();
        assert_eq!(
            (&json["code"], &json["until"]),
            (&"edge.maintenance".into(), &"2026-11-21T14:30:00Z".into())
        );
        assert_eq!(json["message"].as_str(), told.message.as_deref());
        // The time has come, and it is still on: nothing is promised any more.
        let late = render("text/html", "en", "2026-11-21T14:30:00Z".parse().unwrap());
        assert!(!late.headers().contains_key("retry-after"));
        assert!(!std::str::from_utf8(late.body()).unwrap().contains("14:30"));
    }
}
