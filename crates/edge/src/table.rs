//! What a table may say. Pure: a table is checked here before it reaches the file or a request.

use std::collections::BTreeSet;

use naru_model::maintenance::is_message;
use naru_model::route::{Route, RouteTable, Sticky};

/// Routes in one table.
const ROUTES_MAX: usize = 1_024;
/// Backends of one route.
const BACKENDS_MAX: usize = 256;
/// Bytes of a path prefix.
const PATH_MAX: usize = 1_024;

/// Why a table is refused. Publishing it again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A host that is not a lower-case DNS name or an address.
    #[error("host {0:?} is not a lower-case name without port")]
    Host(String),
    /// A prefix that does not start with a slash, or has a query, a control character or a dot segment.
    #[error("path {0:?} is not a plain prefix starting with a slash")]
    Path(String),
    /// A header that visitors are to be told apart by, and that no request can have.
    #[error("{0:?} is not the name of a header")]
    Header(String),
    /// A replica's health is asked for at what is not a path with an optional query.
    #[error("{0:?} is not a path that a replica can be asked for")]
    Health(String),
    /// The same host and path twice.
    #[error("{0}{1} is named twice")]
    Twice(String, String),
    /// Host and path belong to another environment.
    #[error("{host}{path} already leads to {environment}")]
    Taken {
        /// The host.
        host: String,
        /// The path prefix.
        path: String,
        /// Who has it, as `project/environment`.
        environment: String,
    },
    /// What visitors are to be told cannot be shown to them.
    #[error("the message about the maintenance is too long or has control characters")]
    Message,
    /// More routes or backends than a table holds.
    #[error("{0} {1}; at most {2} fit")]
    TooMany(usize, &'static str, usize),
}

/// Checks one table by itself.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check(table: &RouteTable) -> Result<(), TableError> {
    if table.routes.len() > ROUTES_MAX {
        return Err(TableError::TooMany(table.routes.len(), "routes", ROUTES_MAX));
    }
    let message = table.maintenance.as_ref().and_then(|maintenance| maintenance.message.as_deref());
    if message.is_some_and(|text| !is_message(text)) {
        return Err(TableError::Message);
    }
    let mut places = BTreeSet::new();
    for route in &table.routes {
        check_route(route)?;
        if !places.insert((&route.host, &route.path)) {
            return Err(TableError::Twice(route.host.clone(), route.path.clone()));
        }
    }
    Ok(())
}

fn check_route(route: &Route) -> Result<(), TableError> {
    if !is_host(&route.host) {
        return Err(TableError::Host(route.host.chars().take(100).collect()));
    }
    if !is_path(&route.path) {
        return Err(TableError::Path(route.path.chars().take(100).collect()));
    }
    if let Some(Sticky::Header(name)) = &route.sticky
        && http::HeaderName::try_from(name).is_err()
    {
        return Err(TableError::Header(name.chars().take(100).collect()));
    }
    if route.backends.len() > BACKENDS_MAX {
        return Err(TableError::TooMany(route.backends.len(), "backends on one route", BACKENDS_MAX));
    }
    let paths = route.backends.iter().filter_map(|backend| backend.health.as_ref());
    if let Some(bad) = paths.into_iter().find(|path| !is_request_path(path)) {
        return Err(TableError::Health(bad.chars().take(100).collect()));
    }
    Ok(())
}

/// A table's host: a lower-case DNS name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    let bytes = host.as_bytes();
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !bytes.is_empty()
        && bytes.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        })
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= PATH_MAX
        && !path.contains("//")
        && path.split('/').all(|segment| segment != "." && segment != "..")
        && path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'"' | b'<' | b'>' | b'\\'))
}

/// What stands in the first line of a request for it: no space, no line end, no authority.
fn is_request_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= PATH_MAX
        && path.bytes().all(|b| b.is_ascii_graphic())
        && path.parse::<http::uri::PathAndQuery>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths() {
        for good in ["shop.example.com", "localhost", "127.0.0.1", "[::1]", "a_b.example"] {
            assert!(is_host(good), "{good}");
        }
        for bad in
            ["", "Shop.example.com", "a..b", "-a.b", "a-.b", "a b", "a:80", "a/b", "[::1", "가게", "*.a"]
        {
            assert!(!is_host(bad), "{bad}");
        }
        for good in ["/", "/api", "/api/", "/a-b/%20"] {
            assert!(is_path(good), "{good}");
        }
        for bad in ["", "api", "/a//b", "/a/../b", "/a?b", "/a#b", "/a b", "/\n", "/."] {
            assert!(!is_path(bad), "{bad}");
        }
        for good in ["/", "/healthz", "/healthz?deep=1"] {
            assert!(is_request_path(good), "{good}");
        }
        for bad in ["", "healthz", "/a b", "/a\r\nX: y", "http://other/", "/é"] {
            assert!(!is_request_path(bad), "{bad}");
        }
    }
}
