//! The Dockerfile for a folder of static files: nginx with a configuration of ours.
//!
//! The configuration is written in front of the files, so that its layer is cached from build to build. It replaces
//! nginx's own as a whole: nothing depends on how a distribution lays out its configuration.

/// What a static site is served with.
pub const STATIC_BASE_IMAGE: &str = "docker.io/library/nginx:stable";

/// The port a static site listens on.
pub const STATIC_PORT: u16 = 80;

/// Every answer is revalidated, so that a push is seen at the next load; only file names that carry a content hash
/// (`app.3f9a01bc.js`) are kept for a year. Hidden files and `naru.yaml` are not published; `/.well-known/` is.
const CONFIGURATION: &str = r#"worker_processes 1;
pid /tmp/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    charset utf-8;
    access_log /dev/stdout;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    gzip on;
    gzip_vary on;
    gzip_types text/css text/plain application/javascript text/javascript application/json image/svg+xml;
    map $uri $caching {
        default "no-cache";
        "~*[.-][0-9a-f]{8,64}\.[a-z0-9]+$" "public, max-age=31536000, immutable";
    }
    server {
        listen 80;
        root /usr/share/naru/site;
        index index.html;
        autoindex off;
        absolute_redirect off;
        error_page 403 =404 /404.html;
        error_page 404 /404.html;
        add_header Cache-Control $caching;
        add_header X-Content-Type-Options nosniff;
        location / { try_files $uri $uri/ =404; }
        location = /naru.yaml { return 404; }
        location ~ /\.(?!well-known/) { return 404; }
    }
}
"#;

/// The Dockerfile for a folder of static files, to be built with that folder as its context.
pub fn static_dockerfile() -> String {
    let mut lines = String::new();
    for line in CONFIGURATION.lines() {
        debug_assert!(!line.contains('\''), "the configuration is quoted with single quotes");
        lines.push_str(" \\\n    '");
        lines.push_str(line);
        lines.push('\'');
    }
    format!(
        "FROM {STATIC_BASE_IMAGE}\n\
         RUN printf '%s\\n'{lines} \\\n    > /etc/nginx/naru.conf\n\
         COPY . /usr/share/naru/site/\n\
         EXPOSE {STATIC_PORT}\n\
         STOPSIGNAL SIGQUIT\n\
         ENTRYPOINT [\"nginx\", \"-c\", \"/etc/nginx/naru.conf\", \"-g\", \"daemon off;\"]\n\
         CMD []\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_can_end_its_quotation() {
        assert!(!CONFIGURATION.contains('\''));
        assert!(CONFIGURATION.lines().all(|line| !line.ends_with('\\')));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a shell is what is tested")]
    fn the_shell_writes_the_configuration_unchanged() {
        let dockerfile = static_dockerfile();
        let run = dockerfile.split("RUN ").nth(1).unwrap().split("\nCOPY").next().unwrap();
        let script = run.replace("> /etc/nginx/naru.conf", "");
        let output = std::process::Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), CONFIGURATION);
    }
}
