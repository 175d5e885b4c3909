//! Target of the fuzzer (`fuzz/`): a client's bytes, through hyper and the rules of `framing` and `head`, up to the head
//! that a replica would see.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, request};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::framing::{Fault, Watch};
use super::head::{self, Origin};

/// What is found wrong does not depend on how the bytes are cut; when nothing is, no request that hyper reads escaped the
/// watch; and what is sent on is one request, framed once, with nothing in it that only the edge may say.
pub fn request(bytes: &[u8]) {
    let (fault, heads) = watched(&[bytes]);
    // Which bytes came together says whether some came too early; everything else must not depend on it.
    if fault != Some(Fault::Early) {
        let (singly, _) = watched(&bytes.chunks(1).collect::<Vec<_>>());
        assert_eq!(singly, fault);
    }
    if fault.is_some() {
        return;
    }
    let read = served(bytes);
    assert!(read.len() as u64 <= heads, "hyper read {} requests, the watch {heads} heads", read.len());
    for (parts, chunked) in read {
        let Ok(host) = head::host_of(&parts) else { continue };
        let host = host.into_owned();
        if head::check(&parts, None).is_ok() {
            is_sound(parts, &host, chunked);
        }
    }
}

fn watched(pieces: &[&[u8]]) -> (Option<Fault>, u64) {
    let mut watch = Watch::default();
    let fault = pieces.iter().find_map(|piece| watch.look(piece));
    (fault, watch.heads())
}

/// The requests that hyper reads of a connection, their bodies to the end, and whether those are chunked.
fn served(bytes: &[u8]) -> Vec<(request::Parts, bool)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let read = Arc::new(Mutex::new(Vec::new()));
    let book = Arc::clone(&read);
    runtime.block_on(async move {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let (mut answers, mut requests) = tokio::io::split(client);
        let service = service_fn(move |request: Request<Incoming>| {
            let book = Arc::clone(&book);
            async move {
                let (parts, body) = request.into_parts();
                let chunked = !body.is_end_stream() && body.size_hint().exact().is_none();
                if body.collect().await.is_ok() {
                    book.lock().unwrap_or_else(PoisonError::into_inner).push((parts, chunked));
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let sending = async {
            let _ = requests.write_all(bytes).await;
            let _ = requests.shutdown().await;
        };
        let mut discarded = Vec::new();
        let _ = tokio::join!(connection, sending, answers.read_to_end(&mut discarded));
    });
    std::mem::take(&mut *read.lock().unwrap_or_else(PoisonError::into_inner))
}

fn is_sound(mut parts: request::Parts, host: &str, chunked: bool) {
    assert!(
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/@?#\\\"".contains(&b)),
        "{host:?}"
    );
    let origin = Origin::new(([192, 0, 2, 1], 1).into(), true);
    let protocol = head::upgrade_of(&parts.headers);
    let upgrades = protocol.is_some();
    head::to_replica(&mut parts, &origin, &HeaderValue::from_static("id"), protocol, chunked);
    let count = |name: &str| parts.headers.get_all(name).iter().count();
    assert!(parts.uri.path().starts_with('/') && parts.uri.authority().is_none(), "{:?}", parts.uri);
    for name in
        ["host", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"]
    {
        assert_eq!(count(name), 1, "{name}: {:?}", parts.headers);
    }
    assert!(count("content-length") + count("transfer-encoding") <= 1, "{:?}", parts.headers);
    assert_eq!(count("transfer-encoding"), usize::from(chunked));
    assert_eq!((count("connection"), count("upgrade")), (usize::from(upgrades), usize::from(upgrades)));
    let forwarded = parts.headers[header::FORWARDED].as_bytes();
    assert_eq!(forwarded.split(|byte| *byte == b';').count(), 3, "{forwarded:?}");
    for name in ["keep-alive", "proxy-connection", "proxy-authorization", "x-real-ip", "content_length"] {
        assert_eq!(count(name), 0, "{name}");
    }
    for value in parts.headers.values() {
        assert!(!value.as_bytes().iter().any(|b| b"\r\n\0".contains(b)), "{value:?}");
    }
}

#[cfg(test)]
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_strangers() {
        replay::corpus("request", 5_000, request);
    }
}
