//! The other sides of alerts: a mail server, and an HTTP server that answers as it is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::http::{self, Answer, Request};

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

    /// With STARTTLS for everybody who comes, as a local server has it.
    pub fn with_tls_for_all() -> Self {
        Self::certified(&["open".into()])
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

    /// From now on it fails at this stage, as in "rcpt 550", "rcpt 550 ADDRESS" or "data hang"; an empty text ends that.
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

/// An HTTP server that answers as it is told.
pub struct WebServer {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<String>>,
}

impl WebServer {
    /// Answers 200 with `ok` until told otherwise.
    pub fn start() -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(Mutex::new("200 OK\r\n".to_owned()));
        let (seen, told) = (requests.clone(), answer.clone());
        let address = http::serve(move |request| {
            seen.lock().unwrap().push(request);
            let how = told.lock().unwrap().clone();
            let (status, headers) = how.split_once("\r\n")?;
            Some(Answer {
                status: status.to_owned(),
                headers: headers.to_owned(),
                body: b"ok".to_vec(),
            })
        });
        Self {
            url: format!("http://{address}"),
            requests,
            answer,
        }
    }

    /// Status line and further headers, each with its end of line; "hang" never answers.
    pub fn answers(&self, how: &str) {
        *self.answer.lock().unwrap() = how.to_owned();
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
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
