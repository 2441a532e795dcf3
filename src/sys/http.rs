//! One bounded HTTP request: no redirects, certificates checked by the system's roots or one given file, a bounded answer.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use ureq::http;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::files;

const LARGEST_CA: u64 = 4 << 20;

/// What is asked.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    /// Where; may hold a secret, so it is in no error.
    pub url: &'a str,
    /// What to call it in errors.
    pub name: &'a str,
    /// Sent with POST and this content type; without it the request is a GET.
    pub body: Option<(&'a str, &'a [u8])>,
    /// Sent as a bearer token with a body; a secret.
    pub bearer: Option<&'a str>,
    /// A file of certificates to trust instead of the system's.
    pub ca_file: Option<&'a Path>,
    /// For everything together.
    pub limit: Duration,
    /// Bytes of the answer's body that are wanted.
    pub wanted: u64,
    /// Through the proxy of the environment, where there is one; never what is on this machine. Who wants to know how a server
    /// is asks the server itself.
    pub proxied: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code; a redirect is not followed.
    pub status: u16,
    /// Seconds, where the server asks to wait.
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// From the call to the end of the wanted body.
    pub took: Duration,
}

/// Asks once. An error means that there was no answer.
pub fn send(request: &Request<'_>) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let roots = match request.ca_file {
        Some(file) => RootCerts::Specific(certificates(file)?.into()),
        None => RootCerts::PlatformVerifier,
    };
    let mut builder = ureq::Agent::config_builder();
    if !request.proxied || is_here(request.url) {
        builder = builder.proxy(None);
    }
    let agent = builder
        .timeout_global(Some(request.limit))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .tls_config(
            TlsConfig::builder()
                .root_certs(roots)
                .unversioned_rustls_crypto_provider(Arc::new(
                    rustls::crypto::ring::default_provider(),
                ))
                .build(),
        )
        .user_agent(concat!("empire-maint/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let result = match request.body {
        None => agent.get(request.url).call(),
        Some((kind, body)) => {
            let post = agent
                .post(request.url)
                .header(http::header::CONTENT_TYPE, kind);
            match request.bearer {
                Some(token) => post.header(http::header::AUTHORIZATION, format!("Bearer {token}")),
                None => post,
            }
            .send(body)
        }
    };
    let mut answer = result.map_err(|error| without_url(&error, request))?;
    let retry_after = answer
        .headers()
        .get(http::header::RETRY_AFTER)
        .and_then(|value| pause(value.to_str().ok()?.trim(), Timestamp::now()));
    let mut body = Vec::new();
    answer
        .body_mut()
        .as_reader()
        .take(request.wanted)
        .read_to_end(&mut body)
        .with_context(|| format!("the answer from {} broke off", request.name))?;
    Ok(Answer {
        status: answer.status().as_u16(),
        retry_after,
        body,
        took: started.elapsed(),
    })
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn pause(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

/// True for an address of this machine itself.
fn is_here(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else {
        return false;
    };
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The status code that a GET of `url` answers within `limit`.
pub fn status(url: &str, limit: Duration) -> anyhow::Result<u16> {
    let request = Request {
        url,
        name: url,
        limit,
        ..Request::default()
    };
    Ok(send(&request)?.status)
}

/// The library's message, without the URL where it must not be shown.
fn without_url(error: &ureq::Error, request: &Request<'_>) -> anyhow::Error {
    let text = match error {
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    let text = match request.url == request.name {
        true => text,
        false => text.replace(request.url, request.name),
    };
    anyhow::anyhow!("no answer from {}: {text}", request.name)
}

fn certificates(file: &Path) -> anyhow::Result<Vec<Certificate<'static>>> {
    let describe = || format!("cannot read certificates from {}", file.display());
    let text = files::read_small(file, LARGEST_CA)?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.with_context(describe)? {
            found.push(certificate);
        }
    }
    anyhow::ensure!(!found.is_empty(), "{}: there is none", describe());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-24T03:00:00Z".parse().expect("a time");
        let seconds = |text| pause(text, now).map(|pause| pause.as_secs());
        assert_eq!(seconds("600"), Some(600));
        assert_eq!(seconds("Tue, 24 Nov 2026 03:10:00 GMT"), Some(600));
        assert_eq!(seconds("Tue, 24 Nov 2026 02:00:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn what_is_on_this_machine_needs_no_proxy() {
        for here in [
            "http://localhost:3000/",
            "http://127.0.0.1:3000/health",
            "http://[::1]/",
        ] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["http://10.0.0.1/", "https://localhost.example/", "nonsense"] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }
}
