//! The service of the benchmarks: answers `/large` with 1 MiB and everything else with the file `/page`. Compiled by
//! `rustc` alone.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

fn main() {
    let page = std::fs::read("/page").unwrap_or_default();
    let listener = TcpListener::bind("0.0.0.0:8080").expect("port 8080 is free in a container");
    for stream in listener.incoming().flatten() {
        let page = page.clone();
        std::thread::spawn(move || answer(stream, &page));
    }
}

fn answer(mut stream: TcpStream, page: &[u8]) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    loop {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {} // up to the end of the head
        let large;
        let body = if request.starts_with("GET /large ") {
            large = vec![b'x'; 1 << 20];
            &large
        } else {
            page
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    }
}
