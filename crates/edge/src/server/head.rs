//! What a request's and an answer's head must look like. Pure rules on header maps; nothing is sent here.
//!
//! RFC 9110 §7.6 (forwarding), RFC 9112 §3.2 and §6 (Host, framing), RFC 7239 (Forwarded), RFC 6455 (upgrade).

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use http::header::{self, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use http::{Method, Uri, request};

use super::framing::Fault;

pub(super) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Why a request is refused before it is routed. The words reach the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 400, with what was wrong.
    Malformed(&'static str),
    /// 405: CONNECT and TRACE are not carried.
    Method,
}

/// The host a request is for: lower case, without port. Refuses what two readers could read differently.
pub(super) fn host_of(head: &request::Parts) -> Result<Cow<'_, str>, Refusal> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let given = hosts.next().ok_or(Refusal::Malformed("the Host header is missing"))?;
    if hosts.next().is_some() {
        return Err(Refusal::Malformed("more than one Host header"));
    }
    let given = given.to_str().map_err(|_| Refusal::Malformed("the Host header is not a host"))?;
    if let Some(authority) = head.uri.authority()
        && !authority.as_str().eq_ignore_ascii_case(given)
    {
        return Err(Refusal::Malformed("the Host header and the request target name different hosts"));
    }
    name_in(given)
}

/// The name in a `Host` header: lower case, without port and final dot.
pub(super) fn name_of(host: &HeaderValue) -> Result<Cow<'_, str>, Refusal> {
    name_in(host.to_str().map_err(|_| Refusal::Malformed("the Host header is not a host"))?)
}

fn name_in(given: &str) -> Result<Cow<'_, str>, Refusal> {
    let name = without_port(given).ok_or(Refusal::Malformed("the Host header is not a host"))?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Ok(Cow::Owned(name.to_ascii_lowercase()))
    } else {
        Ok(Cow::Borrowed(name))
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`, checked byte by byte.
fn without_port(text: &str) -> Option<&str> {
    if text.is_empty() || text.len() > 260 {
        return None;
    }
    let (name, port) = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        text[1..end - 1].parse::<std::net::Ipv6Addr>().ok()?;
        (&text[..end], &text[end..])
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let name = &text[..end];
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if name.is_empty() || !name.bytes().all(plain) {
            return None;
        }
        (name, &text[end..])
    };
    let port_is_fine = match port.strip_prefix(':') {
        Some(digits) => digits.is_empty() || digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    port_is_fine.then_some(name)
}

/// What the header fields take in a message.
pub(super) fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Refuses methods and framing that are not carried on. What hyper refuses itself is not repeated here.
pub(super) fn check(head: &request::Parts, fault: Option<Fault>) -> Result<(), Refusal> {
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    if let Some(fault) = fault {
        return Err(Refusal::Malformed(fault.words()));
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::Malformed("Transfer-Encoding is something other than chunked"));
        }
        if head.headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Refusal::Malformed("both Content-Length and Transfer-Encoding"));
        }
    }
    if head.headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refusal::Malformed("more than one Content-Length"));
    }
    if !head.uri.path().starts_with('/') {
        return Err(Refusal::Malformed("the request target is not a path"));
    }
    Ok(())
}

/// Whether an answer's body is framed in one way: RFC 9112 §6.3 calls both at once a likely attack, and no other
/// coding was asked for.
pub(super) fn is_framed_once(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match codings.next() {
        None => true,
        Some(coding) => {
            coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && codings.next().is_none()
                && !headers.contains_key(header::CONTENT_LENGTH)
        }
    }
}

/// The protocol a request asks to change to, when it is one that is carried: WebSocket and other single tokens.
/// `h2c` would open a tunnel past these rules and is never carried.
pub(super) fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut protocols = headers.get_all(header::UPGRADE).iter();
    let protocol = protocols.next()?;
    let single = protocols.next().is_none();
    let text = protocol.to_str().ok()?;
    let is_token =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b));
    let tunnels = text.len() >= 3
        && (text[..3].eq_ignore_ascii_case("h2c")
            || text[..3].eq_ignore_ascii_case("tls")
            || text.to_ascii_lowercase().starts_with("http"));
    let asked = connection_names(headers).any(|name| name.eq_ignore_ascii_case("upgrade"));
    (single && is_token && !tunnels && asked).then(|| protocol.clone())
}

fn connection_names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Removes what is meant for one connection only: the fixed names and those that `Connection` lists.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = connection_names(headers)
            .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
            .collect();
        for name in named {
            // `close` and `keep-alive` are options, not fields; the length of the body is not theirs to remove.
            if name != header::CONTENT_LENGTH && name != header::HOST {
                headers.remove(name);
            }
        }
    }
    // Most heads have none: one look at the names instead of one for each of these.
    if headers.keys().any(is_hop_by_hop) {
        let present: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
        for name in present {
            headers.remove(name);
        }
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Removes every header a client could use to pass for somebody else, in the spelling with underscores too:
/// gateways that turn headers into variables cannot tell `X-Forwarded-For` from `X_Forwarded_For`, nor
/// `Content-Length` from `Content_Length`.
fn remove_claims(headers: &mut HeaderMap) {
    let claims = |name: &HeaderName| {
        let name = name.as_str();
        match name.as_bytes()[0] {
            b'c' | b't' => matches!(name, "content_length" | "transfer_encoding"),
            b'x' => {
                let plain: Cow<'_, str> =
                    if name.contains('_') { name.replace('_', "-").into() } else { name.into() };
                plain.starts_with("x-forwarded")
                    || matches!(&*plain, "x-real-ip" | "x-request-id" | "x-original-url" | "x-rewrite-url")
            }
            b'f' => name == "forwarded",
            b'p' => name == "proxy",
            _ => false,
        }
    };
    let claimed: Vec<HeaderName> = headers.keys().filter(|name| claims(name)).cloned().collect();
    for name in claimed {
        headers.remove(name);
    }
}

/// Where a request came from, as the connection says it.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    peer: HeaderValue,
    forwarded_for: String,
    proto: &'static str,
    /// The host that the connection's first request named, and what replicas are told of it.
    told: OnceLock<(HeaderValue, HeaderValue)>,
}

impl Origin {
    /// Computed once per connection.
    pub(super) fn new(peer: SocketAddr, secure: bool) -> Self {
        let address = peer.ip().to_canonical();
        let text = address.to_string();
        let forwarded_for = match address {
            IpAddr::V4(_) => format!("for={text}"),
            IpAddr::V6(_) => format!("for=\"[{text}]\""),
        };
        let peer = HeaderValue::try_from(text).expect("an address is visible ASCII");
        let proto = if secure { "https" } else { "http" };
        Self { peer, forwarded_for, proto, told: OnceLock::new() }
    }

    /// Who asks for which host, in the words of RFC 7239.
    fn forwarded(&self, host: &HeaderValue) -> Option<HeaderValue> {
        match self.told.get() {
            Some((of, forwarded)) if of == host => Some(forwarded.clone()),
            _ => {
                let forwarded = self.word(host).ok()?;
                let _ = self.told.set((host.clone(), forwarded.clone()));
                Some(forwarded)
            }
        }
    }

    fn word(&self, host: &HeaderValue) -> Result<HeaderValue, InvalidHeaderValue> {
        let host = host.to_str().unwrap_or_default();
        HeaderValue::try_from(format!("{};host=\"{host}\";proto={}", self.forwarded_for, self.proto))
    }
}

/// Turns a client's head into the one the replica sees.
pub(super) fn to_replica(
    head: &mut request::Parts,
    origin: &Origin,
    request_id: &HeaderValue,
    upgrade: Option<HeaderValue>,
    chunked: bool,
) {
    let wants_trailers = head
        .headers
        .get_all(header::TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"));
    let host = head.headers.get(header::HOST).cloned();
    let headers = &mut head.headers;
    remove_hop_by_hop(headers);
    remove_claims(headers);
    if let Some(host) = host {
        if let Some(forwarded) = origin.forwarded(&host) {
            headers.insert(header::FORWARDED, forwarded);
        }
        headers.insert(X_FORWARDED_HOST.clone(), host.clone());
        headers.insert(header::HOST, host);
    }
    headers.insert(X_FORWARDED_FOR.clone(), origin.peer.clone());
    headers.insert(X_FORWARDED_PROTO.clone(), HeaderValue::from_static(origin.proto));
    headers.insert(X_REQUEST_ID.clone(), request_id.clone());
    if wants_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if chunked {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    head.uri = origin_form(&head.uri);
    head.version = http::Version::HTTP_11;
}

fn origin_form(uri: &Uri) -> Uri {
    if uri.authority().is_none() && uri.scheme().is_none() {
        return uri.clone();
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query =
        uri.path_and_query().cloned().or_else(|| Some(http::uri::PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static("/"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(build: impl FnOnce(request::Builder) -> request::Builder) -> request::Parts {
        build(Request::builder().uri("/")).body(()).unwrap().into_parts().0
    }

    #[test]
    fn hosts() {
        for (given, want) in [
            ("Shop.Example.com:8080", "shop.example.com"),
            ("shop.example.com.", "shop.example.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("a:", "a"),
        ] {
            let head = head(|builder| builder.header("host", given));
            assert_eq!(host_of(&head).unwrap(), want);
        }
        for bad in ["", "a b", "a/b", "a@b", "a:80:80", "a:99999", "a:x", "[::1", "[x]", "a,b", "a\tb"] {
            let head = head(|builder| builder.header("host", bad));
            assert!(host_of(&head).is_err(), "{bad:?}");
        }
        assert!(host_of(&head(|builder| builder)).is_err());
        assert!(host_of(&head(|builder| builder.header("host", "a").header("host", "a"))).is_err());
        assert!(host_of(&head(|builder| builder.uri("http://b/x").header("host", "a"))).is_err());
    }

    #[test]
    fn forwarding_removes_claims_and_connection_fields() {
        let mut head = head(|builder| {
            builder
                .uri("http://a:80/x?y=1")
                .header("host", "a:80")
                .header("connection", "close, X-Secret, host, x-forwarded-for")
                .header("x-secret", "1")
                .header("keep-alive", "timeout=5")
                .header("x-forwarded-for", "6.6.6.6")
                .header("x_forwarded_for", "6.6.6.6")
                .header("x-forwarded-prefix", "/admin")
                .header("forwarded", "for=6.6.6.6")
                .header("x-real-ip", "6.6.6.6")
                .header("proxy", "http://evil")
                .header("x-request-id", "mine")
                .header("te", "gzip, trailers")
                .header("accept", "*/*")
        });
        let origin = Origin::new("127.0.0.9:1234".parse().unwrap(), false);
        to_replica(&mut head, &origin, &HeaderValue::from_static("id-1"), None, false);
        let mut lines: Vec<String> =
            head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        accept: */*
        forwarded: for=127.0.0.9;host="a:80";proto=http
        host: a:80
        te: trailers
        x-forwarded-for: 127.0.0.9
        x-forwarded-host: a:80
        x-forwarded-proto: http
        x-request-id: id-1
        "#);
        assert_eq!(head.uri, "/x?y=1");
    }

    #[test]
    fn every_request_is_forwarded_with_its_own_host() {
        let origin = Origin::new("[fd00::9]:1234".parse().unwrap(), true);
        for host in ["a", "b:443", "a"] {
            let told = origin.forwarded(&HeaderValue::from_static(host)).unwrap();
            assert_eq!(told, format!("for=\"[fd00::9]\";host=\"{host}\";proto=https"));
        }
    }

    #[test]
    fn only_plain_upgrades_are_carried() {
        let asks = |protocol: &str| {
            let head = head(|b| b.header("connection", "keep-alive, Upgrade").header("upgrade", protocol));
            upgrade_of(&head.headers).is_some()
        };
        assert!(asks("websocket"));
        assert!(!asks("h2c"));
        assert!(!asks("H2C"));
        assert!(!asks("TLS/1.0"));
        assert!(!asks("HTTP/2.0"));
        assert!(!asks("websocket, h2c"));
        assert!(upgrade_of(&head(|b| b.header("upgrade", "websocket")).headers).is_none());
    }

    #[test]
    fn framing() {
        let verdict = |build: fn(request::Builder) -> request::Builder| check(&head(build), None);
        assert!(verdict(|b| b.method("POST").header("transfer-encoding", "chunked")).is_ok());
        assert!(verdict(|b| b.header("transfer-encoding", "gzip, chunked")).is_err());
        assert!(
            verdict(|b| b.header("transfer-encoding", "chunked").header("transfer-encoding", "chunked"))
                .is_err()
        );
        assert!(verdict(|b| b.header("transfer-encoding", "chunked").header("content-length", "3")).is_err());
        assert!(verdict(|b| b.header("content-length", "3").header("content-length", "3")).is_err());
        assert_eq!(verdict(|b| b.method("CONNECT")), Err(Refusal::Method));
        assert_eq!(verdict(|b| b.method("TRACE")), Err(Refusal::Method));
        assert!(verdict(|b| b.method("OPTIONS").uri("*")).is_err());
        assert!(check(&head(|b| b), Some(Fault::LengthTwice)).is_err());
    }
}
