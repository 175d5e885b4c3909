//! An authority for tests, and clients with TLS and HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use naru_edge::{Certificate, TlsHost, TlsTable};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::SOON;

/// Signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than rcgen's for everything: OpenSSL takes equal names of signer and signed for self-signed.
        params.distinguished_name.push(DnType::CommonName, "The tests' authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for one host.
    pub(crate) fn sign(&self, host: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let host = TlsHost { host: host.to_owned(), redirect: false, hsts_s: None };
        Certificate { hosts: vec![host], chain: signed.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn table(&self, hosts: &[&str]) -> TlsTable {
        let certificates = hosts.iter().map(|host| self.sign(host)).collect();
        TlsTable { port: 443, certificates, ..TlsTable::default() }
    }

    /// Its own certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client that trusts this authority and nobody else.
    pub(crate) fn client(
        &self,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        host: &str,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        shake(&Arc::new(self.client(protocols, rustls::ALL_VERSIONS)), address, host).await
    }
}

pub(crate) async fn shake(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    host: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    tokio::time::timeout(SOON, connecting).await.expect("the handshake ends")
}

/// A client's HTTP/2 connection.
pub(crate) struct Http2 {
    pub(crate) send: SendRequest<Full<Bytes>>,
    pub(crate) driver: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    pub(crate) async fn on<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::with(hyper::client::conn::http2::Builder::new(TokioExecutor::new()), stream).await
    }

    pub(crate) async fn with<S>(
        builder: hyper::client::conn::http2::Builder<TokioExecutor>,
        stream: S,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        Self { send, driver: tokio::spawn(connection) }
    }

    /// To a port that speaks HTTP/2 without TLS.
    pub(crate) async fn plain(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::on(stream).await
    }

    pub(crate) fn begin(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.send.clone().send_request(request)
    }

    /// Status, head and body of one answer.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> Response<String> {
        let answer = tokio::time::timeout(SOON, self.begin(request)).await.expect("no answer came").unwrap();
        text_of(answer).await
    }

    pub(crate) async fn get(&self, url: &str) -> Response<String> {
        self.ask(get(url)).await
    }
}

pub(crate) async fn text_of(answer: Response<Incoming>) -> Response<String> {
    let (head, body) = answer.into_parts();
    let body = tokio::time::timeout(SOON, body.collect()).await.expect("the body did not end").unwrap();
    Response::from_parts(head, String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

pub(crate) fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}
