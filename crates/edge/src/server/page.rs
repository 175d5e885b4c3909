//! Answers of the edge itself: short, calm, in the client's language and format, without internals.

use askama::Template;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::head::Refusal;

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
enum Language {
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
    service_label: &'static str,
    service: Option<&'a str>,
    request_label: &'static str,
    request_id: &'a str,
    code: &'static str,
}

/// Renders a failure.
pub(super) fn render(
    failure: Failure,
    manner: &Manner,
    service: Option<&str>,
    request_id: &str,
) -> Response<Bytes> {
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
            service_label: if language == Language::Korean { "서비스" } else { "Service" },
            service,
            request_label: if language == Language::Korean { "요청" } else { "Request" },
            request_id,
            code: failure.code(),
        }
        .render()
        .unwrap_or_default(),
        Format::Json => serde_json::json!({
            "code": failure.code(),
            "summary": format!("{}: {}", words.title, words.sentence),
            "service": service,
            "request_id": request_id,
        })
        .to_string(),
        Format::Plain => format!(
            "{} {}\n{}\n{}request: {request_id}\ncode: {}\n",
            status.as_u16(),
            words.title,
            words.sentence,
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
    if let Some(after) = failure.retry_after() {
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
            Self::NoReplica | Self::HoldFull | Self::HoldOver => StatusCode::SERVICE_UNAVAILABLE,
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

struct Words {
    title: &'static str,
    sentence: &'static str,
}

fn words(failure: Failure, language: Language) -> Words {
    let (english, korean) = match failure {
        Failure::Refused(Refusal::Malformed(what)) => {
            (("Bad request", what), ("잘못된 요청", "요청의 형식이 올바르지 않아요."))
        }
        Failure::Refused(Refusal::Method) => (
            ("Method not allowed", "This method is not carried here."),
            ("허용되지 않는 메서드", "이 메서드는 전달하지 않아요."),
        ),
        Failure::HeadTooLarge => (
            ("Request head too large", "The headers of this request are larger than what is accepted."),
            ("너무 큰 요청 머리", "요청 헤더가 허용된 크기보다 커요."),
        ),
        Failure::BodyStalled => (
            ("Request timed out", "The rest of the request did not arrive in time."),
            ("요청 시간 초과", "요청의 나머지가 제때 도착하지 않았어요."),
        ),
        Failure::BodyBroken => (
            ("Bad request", "The body of the request broke off."),
            ("잘못된 요청", "요청 본문이 중간에 끊겼어요."),
        ),
        Failure::BodyTooLarge => (
            ("Request too large", "The body of this request is larger than what is accepted here."),
            ("너무 큰 요청", "요청 본문이 여기에서 허용된 크기보다 커요."),
        ),
        Failure::TooOften(_) => (
            ("Too many requests", "You have sent many requests in a short time. Please wait a little."),
            ("요청이 너무 많음", "짧은 시간에 많은 요청을 보냈어요. 잠시 기다려 주세요."),
        ),
        Failure::NoRoute => (
            ("Nothing here", "No service answers at this address."),
            ("찾을 수 없음", "이 주소에서 응답하는 서비스가 없어요."),
        ),
        Failure::Unreachable => (
            ("Service unreachable", "The service did not accept the connection. It may be restarting."),
            ("연결할 수 없는 서비스", "서비스가 연결을 받지 않았어요. 다시 시작하는 중일 수 있어요."),
        ),
        Failure::BrokeOff => (
            ("Service broke off", "The service closed the connection before it answered."),
            ("끊긴 연결", "서비스가 응답하기 전에 연결을 끊었어요."),
        ),
        Failure::Nonsense => (
            ("Unusable answer", "The service answered with something that is not HTTP."),
            ("사용할 수 없는 응답", "서비스의 응답이 HTTP 형식이 아니에요."),
        ),
        Failure::NoReplica => (
            (
                "No replica is ready",
                "The service has no running replica right now. It may be back in a moment.",
            ),
            ("준비된 복제본 없음", "지금 실행 중인 복제본이 없어요. 곧 다시 열릴 수 있어요."),
        ),
        Failure::HoldFull => (
            ("Too many requests are waiting", "The service is being replaced, and its queue is full."),
            ("대기 중인 요청이 많음", "서비스를 교체하는 중인데 대기열이 가득 찼어요."),
        ),
        Failure::HoldOver => (
            (
                "Still being replaced",
                "The service is being replaced, and it took longer than requests can wait.",
            ),
            ("아직 교체 중", "서비스 교체가 요청이 기다릴 수 있는 시간보다 오래 걸리고 있어요."),
        ),
        Failure::TooSlow => (
            ("No answer in time", "The service did not answer in time."),
            ("응답 시간 초과", "서비스가 제때 응답하지 않았어요."),
        ),
    };
    let (title, sentence) = if language == Language::Korean { korean } else { english };
    Words { title, sentence }
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
    use super::*;

    fn manner(accept: &'static str, language: &'static str) -> Manner {
        Manner {
            accept: Some(HeaderValue::from_static(accept)),
            language: Some(HeaderValue::from_static(language)),
        }
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
        let response = render(Failure::HoldOver, &manner("text/html", "ko"), Some("web<script>"), "0190-id");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "5");
        let text = std::str::from_utf8(response.body()).unwrap();
        assert!(text.contains("아직 교체 중") && text.contains("0190-id") && text.contains("lang=\"ko\""));
        assert!(!text.contains("web<script>"), "{text}");
    }

    #[test]
    fn json_and_plain() {
        let response = render(Failure::TooSlow, &manner("application/json", "en"), Some("web"), "id-1");
        insta::assert_snapshot!(std::str::from_utf8(response.body()).unwrap(), @r#"{"code":"edge.too-slow","summary":"No answer in time: The service did not answer in time.","service":"web","request_id":"id-1"}"#);
        let response = render(Failure::NoRoute, &Manner::default(), None, "id-1");
        insta::assert_snapshot!(std::str::from_utf8(response.body()).unwrap(), @r"
        404 Nothing here
        No service answers at this address.
        request: id-1
        code: edge.no-route
        ");
    }
}
