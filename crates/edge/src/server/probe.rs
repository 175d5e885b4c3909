//! One question to a replica that is passed over: whether it is well. When it is asked is decided in `health`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Asks over a connection that is being made. What is not answered with 200 to 399 within `limit` is not well.
pub(super) async fn says_that_it_is_well(
    connection: impl Future<Output = io::Result<TcpStream>>,
    address: SocketAddr,
    path: &str,
    limit: Duration,
) -> bool {
    let answer = tokio::time::timeout(limit, status(connection, address, path)).await;
    matches!(answer, Ok(Some(200..400)))
}

async fn status(
    connection: impl Future<Output = io::Result<TcpStream>>,
    address: SocketAddr,
    path: &str,
) -> Option<u16> {
    let stream = TokioIo::new(connection.await.ok()?);
    let (mut sender, driver) = hyper::client::conn::http1::handshake(stream).await.ok()?;
    let request = http::Request::get(path)
        .header(HOST, address.to_string())
        .header(USER_AGENT, "naru-probe")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let answer = async { Some(sender.send_request(request).await.ok()?.status().as_u16()) };
    tokio::pin!(answer);
    // The connection is driven here, so it ends with the probe.
    tokio::select! {
        answer = &mut answer => answer,
        _ = driver => answer.await,
    }
}
