//! Connections as visitors' clients keep them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Kind, Stream, Target};

type Body = Empty<Bytes>;

/// All connections of one stream.
pub(crate) struct Connections {
    stream: Stream,
    plain: SocketAddr,
    tls: Option<(SocketAddr, TlsConnector)>,
    idle: Mutex<VecDeque<http1::SendRequest<Body>>>,
    shared: tokio::sync::Mutex<Option<http2::SendRequest<Body>>>,
}

impl Connections {
    pub(crate) fn new(target: &Target, stream: &Stream) -> Result<Self> {
        let tls = match (&target.tls, stream.kind) {
            (Some((address, authority)), Kind::Http2) => Some((*address, connector(authority)?)),
            (None, Kind::Http2) => bail!("HTTP/2 needs the address of a TLS listener"),
            _ => None,
        };
        Ok(Self {
            stream: stream.clone(),
            plain: target.plain,
            tls,
            idle: Mutex::default(),
            shared: tokio::sync::Mutex::default(),
        })
    }

    /// Asks once and reads the answer to its end.
    pub(crate) async fn ask(&self) -> Result<()> {
        match self.stream.kind {
            Kind::KeepAlive => self.ask_again().await,
            Kind::Fresh => {
                let mut sender = self.open().await?;
                let answer = sender.send_request(self.request("close")?).await.context("no answer")?;
                self.check(answer).await
            }
            Kind::Http2 => {
                let answer = self.multiplexed().await?.send_request(self.request("")?).await;
                self.check(answer.context("no answer")?).await
            }
        }
    }

    /// On a connection that is open already, or else a new one. What was not sent because its connection had been closed
    /// is sent on another, as every client does.
    async fn ask_again(&self) -> Result<()> {
        loop {
            let idle = self.idle.lock().expect("nothing panics while holding the lock").pop_front();
            let (mut sender, is_new) = match idle {
                Some(sender) => (sender, false),
                None => (self.open().await?, true),
            };
            if sender.ready().await.is_err() && !is_new {
                continue;
            }
            match sender.send_request(self.request("keep-alive")?).await {
                Ok(answer) => {
                    self.check(answer).await?;
                    if !sender.is_closed() {
                        self.idle.lock().expect("nothing panics while holding the lock").push_back(sender);
                    }
                    return Ok(());
                }
                Err(error) if error.is_canceled() && !is_new => {}
                Err(error) => return Err(error).context("no answer"),
            }
        }
    }

    async fn open(&self) -> Result<http1::SendRequest<Body>> {
        let stream = TcpStream::connect(self.plain).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn multiplexed(&self) -> Result<http2::SendRequest<Body>> {
        let mut shared = self.shared.lock().await;
        if let Some(open) = shared.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let (address, connector) = self.tls.as_ref().context("no TLS listener")?;
        let stream = TcpStream::connect(address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(self.stream.host.clone())?;
        let stream = connector.connect(name, stream).await.context("no TLS")?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        *shared = Some(sender.clone());
        Ok(sender)
    }

    fn request(&self, connection: &str) -> Result<Request<Body>> {
        let Stream { host, path, kind, .. } = &self.stream;
        let request = match kind {
            Kind::Http2 => Request::builder().version(Version::HTTP_2).uri(format!("https://{host}{path}")),
            _ => Request::builder().uri(path).header("host", host).header("connection", connection),
        };
        Ok(request.body(Empty::new())?)
    }

    async fn check(&self, answer: Response<hyper::body::Incoming>) -> Result<()> {
        let status = answer.status();
        let mut body = answer.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.context("the answer broke off")?.data_ref().map_or(0, Bytes::len);
        }
        if status != 200 {
            bail!("status {status}");
        }
        match self.stream.bytes {
            Some(wanted) if wanted != bytes => bail!("{bytes} bytes instead of {wanted}"),
            _ => Ok(()),
        }
    }
}

fn connector(authority: &str) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
