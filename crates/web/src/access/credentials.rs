//! What a request comes with.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use naru_model::authorise::Credentials;

use crate::Address;

/// The cookie of a browser that is logged in.
const SESSION_COOKIE: &str = "naru_session";
/// The same where browsers come with TLS: by this prefix they take it from this host only, and never in the clear
/// (RFC 6265bis, 4.1.3.2).
const SESSION_COOKIE_TLS: &str = "__Host-naru_session";

/// The name of the session cookie. The other one is not looked at: anybody below this domain could have set it.
fn session_cookie(address: &Address) -> &'static str {
    if address.has_tls() { SESSION_COOKIE_TLS } else { SESSION_COOKIE }
}

/// The session cookie as it is set, for so many seconds.
pub(crate) fn session_cookie_of(address: &Address, session: &str, seconds: u64) -> String {
    let (name, secure) = (session_cookie(address), if address.has_tls() { "; Secure" } else { "" });
    format!("{name}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// What the caller came with: the `Authorization` header, else the session cookie.
pub(crate) fn credentials(address: &Address, headers: &HeaderMap) -> Credentials {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if header.is_some() {
        return Credentials::from_header(header, |text| base64::prelude::BASE64_STANDARD.decode(text).ok());
    }
    cookie(headers, session_cookie(address)).map_or(Credentials::None, Credentials::Session)
}

/// The value of a cookie.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}
