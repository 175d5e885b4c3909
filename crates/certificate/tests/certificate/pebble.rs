//! Debian's `pebble`, a real ACME server, and its name server that leads every host here.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use naru_certificate::AcmeSettings;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::world::{Roots, SOON, visit};

/// How long its certificates last.
pub(crate) const LIFE_DAYS: u64 = 90;

pub(crate) struct Pebble {
    folder: tempfile::TempDir,
    directory: SocketAddr,
    management: SocketAddr,
    names: SocketAddr,
    root: String,
    running: Vec<Child>,
}

impl Pebble {
    /// Looks at challenges at `port` of this machine, whatever the host.
    pub(crate) async fn start(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [directory, management, names] = free_ports();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("root.pem"), issuer.pem()).unwrap();
        std::fs::write(path("own.pem"), own.pem()).unwrap();
        std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": directory, "managementListenAddress": management,
            "certificate": path("own.pem"), "privateKey": path("key.pem"),
            "httpPort": port, "tlsPort": 1, "certificateValidityPeriod": LIFE_DAYS * 86_400,
        }});
        std::fs::write(path("pebble.json"), config.to_string()).unwrap();
        let root = issuer.pem();
        let mut pebble = Self { folder, directory, management, names, root, running: Vec::new() };
        pebble.go_on().await;
        pebble
    }

    pub(crate) fn settings(&self) -> AcmeSettings {
        AcmeSettings {
            directory: format!("https://localhost:{}/dir", self.directory.port()),
            contact: Some("shop@example.com".into()),
            root: Some(self.path("root.pem")),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it, again and without its memory after [`Pebble::stop`].
    pub(crate) async fn go_on(&mut self) {
        let names = self.names.to_string();
        let mut challenges = Command::new("pebble-challtestsrv");
        challenges.args(["-dns01", &names, "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        challenges.args(["-management", "127.0.0.1:0", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        let mut authority = Command::new("pebble");
        authority.arg("-config").arg(self.path("pebble.json")).args(["-dnsserver", &names]);
        authority.env("PEBBLE_VA_NOSLEEP", "1");
        for command in [&mut challenges, &mut authority] {
            let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            self.running.push(command.spawn().expect("pebble is installed"));
        }
        let trusted = Roots::of(&self.root);
        let up = async {
            while visit(self.directory, "localhost", "/dir", &trusted).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(SOON, up).await.expect("pebble answers");
    }

    /// Takes it away.
    pub(crate) fn stop(&mut self) {
        for mut child in self.running.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Whom visitors have to trust; another one after each start.
    pub(crate) async fn roots(&self) -> Roots {
        let trusted = Roots::of(&self.root);
        let answer = visit(self.management, "localhost", "/roots/0", &trusted).await.unwrap().answer;
        Roots::of(answer.split_once("\r\n\r\n").unwrap().1)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ports that were free a moment ago; all are held until each is known.
fn free_ports<const COUNT: usize>() -> [SocketAddr; COUNT] {
    let held = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.each_ref().map(|listener| listener.local_addr().unwrap())
}
