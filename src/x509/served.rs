//! The chain that a server shows, whatever it is worth: an expired one must be read to be reported.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use super::{Certificate, MOST};
use crate::config::sections::Endpoint;
use crate::sys::sockets;

/// The chain that the server at the endpoint shows, leaf first; the whole conversation has ended after `limit`.
pub fn served(endpoint: &Endpoint, limit: Duration) -> anyhow::Result<Vec<Certificate>> {
    let until = Instant::now() + limit;
    let mut stream = Timed {
        stream: sockets::connect(&endpoint.host, endpoint.port, limit)?,
        until,
    };
    if endpoint.smtp {
        stream = start_tls(stream)?;
    }
    let seen = Arc::new(Recorder::default());
    let settings = ClientConfig::builder_with_provider(Arc::clone(&seen.provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = endpoint
        .asked_for
        .clone()
        .unwrap_or_else(|| endpoint.host.clone());
    let name = ServerName::try_from(name)?;
    let mut connection = ClientConnection::new(Arc::new(settings), name)?;
    let mut outcome = Ok(());
    while connection.is_handshaking() && outcome.is_ok() {
        outcome = connection.complete_io(&mut stream).map(|_| ());
    }
    let chain = std::mem::take(&mut *seen.chain.lock().unwrap_or_else(PoisonError::into_inner));
    // A server that wants a certificate of ours has shown its own before it hangs up.
    if chain.is_empty() {
        outcome.context("no TLS is spoken there")?;
        anyhow::bail!("the server showed no certificate");
    }
    chain
        .iter()
        .take(MOST)
        .map(|certificate| Certificate::read(certificate))
        .collect()
}

/// RFC 3207, as far as the word that begins TLS.
fn start_tls(stream: Timed) -> anyhow::Result<Timed> {
    let mut reader = BufReader::new(stream);
    reply(&mut reader, "220")?;
    reader.get_mut().write_all(b"EHLO empire-maint\r\n")?;
    reply(&mut reader, "250")?;
    reader.get_mut().write_all(b"STARTTLS\r\n")?;
    reply(&mut reader, "220")?;
    Ok(reader.into_inner())
}

/// Reads an answer of one or more lines.
fn reply(reader: &mut BufReader<Timed>, code: &str) -> anyhow::Result<()> {
    for _ in 0..100 {
        let mut line = String::new();
        reader.by_ref().take(1000).read_line(&mut line)?;
        anyhow::ensure!(
            line.starts_with(code),
            "the mail server says '{}'",
            line.trim()
        );
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
    anyhow::bail!("the mail server does not stop talking")
}

/// A connection that is over at a certain time, however slowly the other side talks.
struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left).ok_or_else(too_late)
    }
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer within the time limit")
}

/// A socket whose time is up says only that there is nothing to read yet.
fn in_time<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => too_late(),
        _ => error,
    })
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        in_time(self.stream.read(buffer))
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        in_time(self.stream.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Takes every chain and keeps it.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            provider: Arc::new(ring::default_provider()),
            chain: Mutex::default(),
        }
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf).chain(others);
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte now and then keeps every single read alive.
    #[test]
    fn who_talks_slowly_has_no_more_time_than_others() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || {
                    let mut stream = stream.expect("a client");
                    // A record of TLS that is announced with 16 kB and never whole; to a mail client a line without end.
                    let mut next = [0x16, 3, 3, 0x40, 0]
                        .into_iter()
                        .chain(std::iter::repeat(b'2'));
                    while stream.write_all(&[next.next().expect("endless")]).is_ok() {
                        std::thread::sleep(Duration::from_millis(30));
                    }
                });
            }
        });
        for text in [
            format!("127.0.0.1:{port}"),
            format!("smtp:127.0.0.1:{port}"),
        ] {
            let endpoint: Endpoint = text.parse().expect("an endpoint");
            let started = Instant::now();
            let error = served(&endpoint, Duration::from_millis(500)).expect_err("too slow");
            assert!(
                format!("{error:#}").contains("within the time limit"),
                "{error:#}"
            );
            assert!(started.elapsed() < Duration::from_secs(10), "{text}");
        }
    }

    #[test]
    fn endpoints_are_read() {
        let endpoint: Endpoint = "smtp:mail.example.test:25".parse().expect("reads");
        assert_eq!(
            (endpoint.host.as_str(), endpoint.port, endpoint.smtp),
            ("mail.example.test", 25, true)
        );
        let endpoint: Endpoint = "[::1]:443".parse().expect("reads");
        assert_eq!((endpoint.host.as_str(), endpoint.smtp), ("::1", false));
        assert_eq!(endpoint.name(), None);
        let endpoint: Endpoint = "www.example.test@127.0.0.1:443".parse().expect("reads");
        assert_eq!(
            (endpoint.host.as_str(), endpoint.name()),
            ("127.0.0.1", Some("www.example.test"))
        );
        for wrong in [
            "host",
            ":443",
            "host:https",
            "",
            "not a name@host:443",
            "@host:443",
        ] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
