//! The outside world of a test: a web server of its own, Redis, openssl, all on private ports, all ended with the test.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::http::{self, Answer};

/// A web server that gives every request the same answer, which can be changed. Without an answer it never says anything.
pub struct Web {
    pub port: u16,
    answer: Arc<Mutex<Option<(u16, String)>>>,
}

impl Web {
    pub fn start(status: u16, body: &str) -> Self {
        let answer = Arc::new(Mutex::new(Some((status, body.to_owned()))));
        let told = Arc::clone(&answer);
        let address = http::serve(move |_| {
            let (status, body) = told.lock().unwrap().clone()?;
            Some(Answer::new(status, body))
        });
        Self {
            port: address.port(),
            answer,
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/health", self.port)
    }

    pub fn answers(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = Some((status, body.to_owned()));
    }

    pub fn is_silent(&self) {
        *self.answer.lock().unwrap() = None;
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A process that ends with the test.
pub struct Peer {
    pub port: u16,
    child: Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Peer {
    /// Kills it.
    pub fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts a program that listens on `port`, and waits until it does.
    pub fn start(port: u16, command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::piped()) // s_server ends with its input
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let peer = Self { port, child };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "{command:?} does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        peer
    }
}

/// A real Redis server with a folder of its own and these lines of configuration.
pub fn redis(folder: &Path, lines: &[&str]) -> Peer {
    let port = free_port();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--daemonize", "no", "--dir"]);
    command.arg(folder);
    command.args(lines.iter().flat_map(|line| line.split(' ')));
    Peer::start(port, &mut command)
}

/// One command of Redis, as an operator would give it.
pub fn redis_cli(port: u16, arguments: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs openssl in a folder.
pub fn openssl(folder: &Path, line: &str) {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(line.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "openssl {line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A self-signed certificate `NAME.pem` with its key `NAME.key`, valid for so many days from now on.
pub fn certificate(folder: &Path, name: &str, days: u32) -> PathBuf {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.pem -days {days} -subj /CN={name}"
        ),
    );
    folder.join(format!("{name}.pem"))
}

/// `openssl s_server` with a certificate of [`certificate`].
pub fn tls_server(folder: &Path, name: &str) -> Peer {
    let port = free_port();
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["s_server", "-quiet"]);
    command.args(["-accept", &format!("127.0.0.1:{port}")]);
    command.args([
        "-cert",
        &format!("{name}.pem"),
        "-key",
        &format!("{name}.key"),
    ]);
    Peer::start(port, &mut command)
}

/// Appends to a file.
pub fn append(path: &Path, text: &str) {
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap();
}
