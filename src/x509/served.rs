//! The chain that a server shows, whatever it is worth: an expired one must be read to be reported.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use super::{Certificate, MOST, of_der};
use crate::error::{Failure, config};
use crate::sys::sockets;

/// Where TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    smtp: bool,
}

impl std::str::FromStr for Endpoint {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (smtp, rest) = match text.strip_prefix("smtp:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let parts = rest
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if !host.is_empty() => Ok(Self {
                host: host.trim_matches(['[', ']']).to_owned(),
                port,
                smtp,
            }),
            _ => Err(
                config(format!("[certs] endpoints: '{text}' is no endpoint"))
                    .hint("as in \"host:443\" or \"smtp:host:25\""),
            ),
        }
    }
}

/// The chain that the server at the endpoint shows, leaf first.
pub fn served(endpoint: &Endpoint, limit: Duration) -> anyhow::Result<Vec<Certificate>> {
    let started = Instant::now();
    let mut stream = sockets::connect(&endpoint.host, endpoint.port, limit)?;
    if endpoint.smtp {
        stream = start_tls(stream)?;
    }
    let seen = Arc::new(Recorder::default());
    let settings = ClientConfig::builder_with_provider(Arc::clone(&seen.provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from(endpoint.host.clone())?;
    let mut connection = ClientConnection::new(Arc::new(settings), name)?;
    let mut outcome = Ok(());
    while connection.is_handshaking() && outcome.is_ok() {
        anyhow::ensure!(started.elapsed() < limit, "no TLS within the time limit");
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
        .map(|certificate| of_der(certificate))
        .collect()
}

/// RFC 3207, as far as the word that begins TLS.
fn start_tls(stream: TcpStream) -> anyhow::Result<TcpStream> {
    let mut reader = BufReader::new(stream);
    reply(&mut reader, "220")?;
    reader.get_mut().write_all(b"EHLO empire-maint\r\n")?;
    reply(&mut reader, "250")?;
    reader.get_mut().write_all(b"STARTTLS\r\n")?;
    reply(&mut reader, "220")?;
    Ok(reader.into_inner())
}

/// Reads an answer of one or more lines.
fn reply(reader: &mut BufReader<TcpStream>, code: &str) -> anyhow::Result<()> {
    use std::io::Read as _;
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

    #[test]
    fn endpoints_are_read() {
        let endpoint: Endpoint = "smtp:mail.example.test:25".parse().expect("reads");
        assert_eq!(
            (endpoint.host.as_str(), endpoint.port, endpoint.smtp),
            ("mail.example.test", 25, true)
        );
        let endpoint: Endpoint = "[::1]:443".parse().expect("reads");
        assert_eq!((endpoint.host.as_str(), endpoint.smtp), ("::1", false));
        for wrong in ["host", ":443", "host:https", ""] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
