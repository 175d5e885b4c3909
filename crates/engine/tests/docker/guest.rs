//! The program in the test images: one static binary with many manners. Compiled by the tests with `rustc`, not by
//! Cargo, and run without any file beside it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn _exit(code: i32) -> !;
}

extern "C" fn quit(_: i32) {
    unsafe { _exit(0) }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // Answers on 8080 and ends when it is asked to.
        ["serve"] => serve(Duration::ZERO, true),
        ["serve-late", millis] => serve(Duration::from_millis(millis.parse().unwrap()), true),
        // Answers for so long, and then fails.
        ["serve-briefly", millis] => {
            let time = Duration::from_millis(millis.parse().unwrap());
            std::thread::spawn(|| serve(Duration::ZERO, true));
            std::thread::sleep(time);
            fail("the queue is gone");
        }
        // The first process of a container ignores the signals that it does not handle.
        ["serve-stubborn"] => serve(Duration::ZERO, false),
        ["pause", millis] => std::thread::sleep(Duration::from_millis(millis.parse().unwrap())),
        ["sleep", ..] => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        ["exit", code] => {
            println!("about to exit");
            std::process::exit(code.parse().unwrap());
        }
        ["say", name] => println!("{name} is {}", std::env::var(name).unwrap_or_default()),
        ["tell", name] => {
            println!("{name} is {}", std::env::var(name).unwrap_or_default());
            std::process::exit(1);
        }
        ["show", path] => match std::fs::read_to_string(path) {
            Ok(text) => print!("{text}"),
            Err(error) => fail(&format!("{path}: {error}")),
        },
        ["write", path, text] => std::fs::write(path, text).unwrap_or_else(|error| fail(&error.to_string())),
        ["append", file] => match append(file) {
            (200, length) => println!("{length}"),
            (_, error) => fail(&error),
        },
        ["eat"] => eat(),
        // Waits, then ends with a failure that it explains.
        ["fail", millis, why] => {
            std::thread::sleep(Duration::from_millis(millis.parse().unwrap()));
            fail(why);
        }
        // Alive, but nobody can connect.
        ["deaf"] => {
            println!("waiting for something else");
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
        ["print", lines] => {
            for line in 0..lines.parse::<u64>().unwrap() {
                println!("line {line}");
            }
        }
        ["flood"] => {
            let line = "x".repeat(1000);
            while writeln!(std::io::stdout(), "{line}").is_ok() {}
        }
        ["fetch", at] => {
            let since = Instant::now();
            let answer = loop {
                match fetch(at) {
                    Err(_) if since.elapsed().as_secs() < 20 => std::thread::sleep(Duration::from_millis(50)),
                    answer => break answer,
                }
            };
            println!("{}", answer.unwrap_or_else(|error| fail(&error)));
        }
        // `mark` is found in the list of processes.
        ["tree", mark] => {
            let myself = std::env::current_exe().unwrap();
            let mut child = std::process::Command::new(myself).args(["sleep", mark]).spawn().unwrap();
            println!("tree stands");
            child.wait().unwrap();
        }
        _ => fail("unknown manners"),
    }
}

fn fail(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(1);
}

fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1u8; 1 << 20]);
    }
}

fn serve(delay: Duration, obeys: bool) {
    if obeys {
        unsafe { signal(15, quit) };
    }
    println!("starting");
    std::thread::sleep(delay);
    let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
    let since = Instant::now();
    println!("listening");
    for connection in listener.incoming().flatten() {
        std::thread::spawn(move || answer(connection, since));
    }
}

fn answer(mut connection: TcpStream, since: Instant) {
    let mut request = String::new();
    BufReader::new(&connection).read_line(&mut request).unwrap();
    let path = request.split_whitespace().nth(1).unwrap_or("/").to_owned();
    let (status, text) = if path == "/healthz" {
        (200, "well".to_owned())
    } else if path == "/flap" {
        (if since.elapsed().as_millis() / 500 % 2 == 0 { 200 } else { 503 }, "now and then".to_owned())
    } else if path == "/broken" {
        (500, "broken".to_owned())
    } else if path == "/answer" {
        // As its revision says: well by default.
        let status = std::env::var("ANSWER").ok().and_then(|status| status.parse().ok());
        (status.unwrap_or(200), std::env::var("VERSION").unwrap_or_default())
    } else if let Some(name) = path.strip_prefix("/variable/") {
        (200, std::env::var(name).unwrap_or_default())
    } else if let Some(name) = path.strip_prefix("/say/") {
        println!("{name} is {}", std::env::var(name).unwrap_or_default());
        (200, "said".to_owned())
    } else if let Some(file) = path.strip_prefix("/append") {
        append(file)
    } else if let Some(file) = path.strip_prefix("/file") {
        std::fs::read_to_string(file).map_or((404, String::new()), |text| (200, text))
    } else if let Some(at) = path.strip_prefix("/fetch/") {
        match fetch(at) {
            Ok(text) => (200, text),
            Err(error) => (502, error),
        }
    } else {
        (404, String::new())
    };
    let _ = write!(
        connection,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
}

/// Makes a file one byte longer and tells its length.
fn append(file: &str) -> (u16, String) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
    let length = opened.and_then(|mut file| {
        file.write_all(b"x")?;
        Ok(file.metadata()?.len())
    });
    length.map_or_else(|error| (500, error.to_string()), |length| (200, length.to_string()))
}

/// GETs `/healthz` from `host:port`.
fn fetch(at: &str) -> Result<String, String> {
    let addresses = at.to_socket_addrs().map_err(|error| format!("cannot resolve {at}: {error}"))?;
    let address = addresses.into_iter().next().ok_or("no address")?;
    let limit = Duration::from_secs(2);
    let mut connection =
        TcpStream::connect_timeout(&address, limit).map_err(|error| format!("cannot reach {at}: {error}"))?;
    connection.set_read_timeout(Some(limit)).unwrap();
    write!(connection, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").map_err(|error| error.to_string())?;
    let last = BufReader::new(connection).lines().map_while(Result::ok).last();
    Ok(format!("{address} says {}", last.unwrap_or_default()))
}
