//! TLS on the whole binary: a pushed service is reached by https with a certificate of the local authority, also while
//! `naru serve` is away.

use std::path::Path;
use std::process::Command;

use super::instance::Instance;
use super::process::{self, until};
use super::project::{Project, version};

const TLS: [&str; 2] = ["--edge-listen-tls", "127.0.0.1:0"];

/// Body and version of HTTP of what curl is answered.
fn curl(authority: &Path, url: &str) -> Result<String, String> {
    let (host, port) = url.strip_prefix("https://").unwrap().split_once(':').unwrap();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--http2", "--cacert"]);
    curl.arg(authority).args(["--resolve", &format!("{host}:{port}:127.0.0.1")]);
    curl.args(["--write-out", " by %{http_version}"]).arg(format!("{url}/variable/VERSION")).env_clear();
    let output = curl.output().expect("curl is installed");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8(output.stdout).unwrap())
}

/// Where a plain request is sent on to.
fn redirect(instance: &Instance, host: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"]);
    curl.args(["--header", &format!("Host: {host}"), "--write-out", "%{redirect_url}"]);
    curl.arg(format!("http://{}/path?query=1", instance.edge())).env_clear();
    String::from_utf8(curl.output().expect("curl is installed").stdout).unwrap()
}

#[test]
fn a_service_is_reached_by_tls_also_while_serve_is_away() {
    let instance = Instance::start_with(&TLS);
    let shop = Project::create(&instance, "shop");
    shop.deliver(&version("one"));
    let address = || shop.try_get("environments/production")?["urls"][0].as_str().map(str::to_owned);
    let url = until("the host has a certificate", String::new, || {
        address().filter(|url| url.starts_with("https://"))
    });
    let authority = instance.beside("authority.pem");
    let printed = process::text(instance.command().args(["certificate", "authority"]));
    std::fs::write(&authority, printed).unwrap();
    assert_eq!(curl(&authority, &url), Ok("one by 2".to_owned()));
    let listed = process::text(instance.command().args(["certificate", "list"]));
    assert!(listed.contains(&shop.host()) && listed.contains("local authority"), "{listed}");
    assert_eq!(shop.ask("/variable/VERSION").unwrap().0, 308);

    instance.kill();
    assert_eq!(curl(&authority, &url), Ok("one by 2".to_owned()));
    instance.serve(&TLS);
    instance.wait_until_ready();
    assert_eq!(curl(&authority, &url), Ok("one by 2".to_owned()), "the same port and certificate");
    assert_eq!(address(), Some(url));

    // The port is mapped: visitors find it elsewhere.
    instance.kill();
    instance.serve(&[TLS[0], TLS[1], "--public-tls-port", "8443"]);
    instance.wait_until_ready();
    let mapped = format!("https://{}:8443/path?query=1", shop.host());
    let told = || redirect(&instance, &shop.host());
    until("redirects name the public port", told, || (told() == mapped).then_some(()));
}
