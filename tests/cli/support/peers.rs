//! The other sides of alerts: a mail server, and an HTTP server that answers as it is told.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A real SMTP server.
pub struct MailServer {
    folder: TempDir,
    child: Child,
    pub port: u16,
}

impl MailServer {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With STARTTLS and AUTH; `ca()` is the certificate to trust.
    pub fn with_tls() -> Self {
        Self::certified(&[])
    }

    /// The same with TLS from the first byte.
    pub fn wrapped() -> Self {
        Self::certified(&["wrapped".into()])
    }

    fn certified(how: &[PathBuf]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let server = Self::with(&[&[certificate.clone(), key], how].concat());
        fs::copy(certificate, server.folder.path().join("ca.pem")).unwrap();
        server
    }

    fn with(files: &[PathBuf]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("/usr/bin/python3")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/cli/support/smtp.py"
            ))
            .arg(folder.path())
            .args(files)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let port = folder.path().join("port");
        wait_until(|| port.exists());
        let port = fs::read_to_string(port).unwrap().parse().unwrap();
        Self {
            folder,
            child,
            port,
        }
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// From now on it fails at this stage, as in "rcpt 550" or "data hang"; an empty text ends that.
    pub fn fail(&self, how: &str) {
        fs::write(self.folder.path().join("fail"), how).unwrap();
    }

    /// Every mail so far, oldest first.
    pub fn mails(&self) -> Vec<String> {
        let mut paths: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .collect();
        paths.sort();
        paths
            .iter()
            .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
            .collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: String,
    pub body: String,
}

/// An HTTP server that answers as it is told.
pub struct WebServer {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<String>>,
}

impl WebServer {
    /// Answers 200 with `ok` until told otherwise.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(Mutex::new("200 OK\r\n".to_owned()));
        let (seen, told) = (requests.clone(), answer.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, told) = (Arc::clone(&seen), Arc::clone(&told));
                std::thread::spawn(move || serve(stream, &seen, &told));
            }
        });
        Self {
            url,
            requests,
            answer,
        }
    }

    /// Status line and further headers, or "hang".
    pub fn answers(&self, how: &str) {
        *self.answer.lock().unwrap() = how.to_owned();
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>, told: &Mutex<String>) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut headers) = (String::new(), String::new());
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        headers.push_str(&header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    seen.lock().unwrap().push(Request {
        line: line.trim().to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    });
    let how = told.lock().unwrap().clone();
    if how == "hang" {
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let _ = write!(
        reader.get_mut(),
        "HTTP/1.1 {how}Content-Length: 2\r\nConnection: close\r\n\r\nok"
    );
}

/// Waits for something that another process does.
pub fn wait_until(done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "nothing happened"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes a program out of a shell script.
pub fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
