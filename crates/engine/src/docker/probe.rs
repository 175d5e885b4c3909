//! Whether a replica answers: one connection or one request, within a second. The engine's own health checks need
//! systemd's timers and are not used.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use naru_model::workload::Probe;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};

/// How long one probe may take.
const LIMIT: Duration = Duration::from_secs(1);

/// Whether the replica at this address answers its probe.
pub(crate) async fn answers(address: SocketAddr, probe: &Probe) -> bool {
    tokio::time::timeout(LIMIT, ask(address, probe)).await.is_ok_and(|answer| answer.is_some())
}

async fn ask(address: SocketAddr, probe: &Probe) -> Option<()> {
    let connection = connect(address).await.ok()?;
    match probe {
        Probe::Tcp => Some(()),
        Probe::Http { path } => {
            let (mut sender, driver) =
                hyper::client::conn::http1::handshake(TokioIo::new(connection)).await.ok()?;
            let request = http::Request::get(path)
                .header(HOST, address.to_string())
                .header(USER_AGENT, "naru-probe")
                .header(CONNECTION, "close")
                .body(Empty::<Bytes>::new())
                .ok()?;
            let answer = async {
                let status = sender.send_request(request).await.ok()?.status().as_u16();
                (200..400).contains(&status).then_some(())
            };
            tokio::pin!(answer);
            // The connection is driven here, so it ends with the probe.
            tokio::select! {
                answer = &mut answer => answer,
                _ = driver => answer.await,
            }
        }
    }
}

/// Without a gateway: the network of a replica that is gone may be gone too, and then somebody else would answer.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    setsockopt(&socket, sockopt::DontRoute, &true)?;
    socket.connect(address).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = connection.read(&mut request).await;
                let _ = connection.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn only_good_statuses_are_ready() {
        let http = Probe::Http { path: "/healthz".into() };
        assert!(answers(server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await, &http).await);
        assert!(answers(server("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").await, &http).await);
        let unready = server("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
        assert!(!answers(unready, &http).await);
        assert!(answers(unready, &Probe::Tcp).await);
        assert!(!answers(server("not http\r\n\r\n").await, &http).await);
    }

    #[tokio::test]
    async fn a_closed_port_and_a_path_that_is_none_are_not_ready() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(!answers(closed, &Probe::Tcp).await);
        let open = server("HTTP/1.1 200 OK\r\n\r\n").await;
        assert!(!answers(open, &Probe::Http { path: "/a b\r\nX: y".into() }).await);
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_not_ready() {
        let silent = server("").await;
        let began = std::time::Instant::now();
        assert!(!answers(silent, &Probe::Http { path: "/".into() }).await);
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
