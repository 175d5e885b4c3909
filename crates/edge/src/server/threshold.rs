//! What the edge answers by itself on the plain port, before a route is looked for: challenges of a certificate
//! authority, and the way to TLS. And what it adds on the other port: how long that way should be remembered.

use http::header::{self, HeaderValue};
use http::{Response, StatusCode, Uri};

use super::head;
use super::proxy::Client;

/// RFC 8555 §8.3.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// An answer without a replica.
pub(super) enum Reply {
    Challenge(String),
    Redirect(HeaderValue),
}

impl Reply {
    pub(super) fn into_response(self) -> Response<String> {
        let (status, name, value, text) = match self {
            Self::Challenge(answer) => {
                let kind = HeaderValue::from_static("application/octet-stream");
                (StatusCode::OK, header::CONTENT_TYPE, kind, answer)
            }
            Self::Redirect(location) => {
                (StatusCode::PERMANENT_REDIRECT, header::LOCATION, location, String::new())
            }
        };
        let mut response = Response::new(text);
        *response.status_mut() = status;
        response.headers_mut().insert(name, value);
        response
    }
}

/// None for a request that a route decides about. `host` is lower case, without port.
pub(super) fn reply(client: &Client, host: &str, uri: &Uri) -> Option<Reply> {
    if client.secure {
        return None;
    }
    let shelf = &client.edge.shelf;
    if let Some(token) = uri.path().strip_prefix(CHALLENGES) {
        // A token that nobody told of may be one of a service's own.
        return shelf.challenge(token).map(Reply::Challenge);
    }
    let port = shelf.redirect(host)?;
    let rest = uri.path_and_query().map_or("/", |rest| rest.as_str());
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    HeaderValue::try_from(format!("https://{host}{port}{rest}")).ok().map(Reply::Redirect)
}

/// RFC 6797 §7.1; a service that says it itself knows better.
pub(super) fn remember<B>(client: &Client, host: Option<&HeaderValue>, response: &mut Response<B>) {
    let headers = response.headers_mut();
    if !client.secure || headers.contains_key(header::STRICT_TRANSPORT_SECURITY) {
        return;
    }
    let hsts = host.and_then(|host| head::name_of(host).ok()).and_then(|host| client.edge.shelf.hsts(&host));
    if let Some(hsts) = hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
}
