//! What a request comes with.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use naru_model::authorise::Credentials;

/// The cookie of a browser that is logged in.
pub(crate) const SESSION_COOKIE: &str = "naru_session";

/// What the caller came with: the `Authorization` header, else the session cookie.
pub(crate) fn credentials(headers: &HeaderMap) -> Credentials {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if header.is_some() {
        return Credentials::from_header(header, |text| base64::prelude::BASE64_STANDARD.decode(text).ok());
    }
    cookie(headers, SESSION_COOKIE).map_or(Credentials::None, Credentials::Session)
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
