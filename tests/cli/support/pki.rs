//! Authorities and certificates made by openssl, and a TLS server (rustls) that shows whatever it is given.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};

use super::services::openssl;

const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
pub const HOST: &str = "app.example.test";

/// `NAME.pem` and `NAME.key` of a root.
pub fn root(folder: &Path, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 {EC} -keyout {name}.key -out {name}.pem -days 3650 -subj /CN={name} -addext basicConstraints=critical,CA:TRUE"
        ),
    );
}

/// `NAME.pem` and `NAME.key`, signed by another; `extensions` are lines, `options` go to `openssl x509 -req`.
pub fn issue(folder: &Path, name: &str, by: &str, days: u32, extensions: &str, options: &str) {
    issue_with_key(
        folder,
        name,
        by,
        EC,
        &format!("-days {days} {options}"),
        extensions,
    );
}

pub fn issue_with_key(
    folder: &Path,
    name: &str,
    by: &str,
    key: &str,
    options: &str,
    extensions: &str,
) {
    fs::write(folder.join(format!("{name}.ext")), extensions).unwrap();
    openssl(
        folder,
        &format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"),
    );
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -extfile {name}.ext -out {name}.pem {options}"
        ),
    );
}

/// What an authority's and a server's certificate have.
pub const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\n";
pub const SERVER: &str =
    "basicConstraints=CA:FALSE\nsubjectAltName=DNS:app.example.test,IP:192.0.2.7\n";

/// A root, an authority below it, and `leaf` for [`HOST`], 90 days; their files in a folder.
pub fn three(folder: &Path) {
    root(folder, "root");
    issue(folder, "middle", "root", 1800, AUTHORITY, "");
    issue(folder, "leaf", "middle", 90, SERVER, "");
}

/// Writes a file of several certificates, in this order.
pub fn bundle(folder: &Path, file: &str, names: &[&str]) -> PathBuf {
    let all: String = names
        .iter()
        .map(|name| fs::read_to_string(folder.join(format!("{name}.pem"))).unwrap())
        .collect();
    fs::write(folder.join(file), all).unwrap();
    folder.join(file)
}

/// A server that reads a chain and a key when it starts, and again only after somebody has made the file `reload` in its folder.
pub struct TlsServer {
    pub port: u16,
}

impl TlsServer {
    pub fn start(folder: &Path, chain: &str, key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (folder, chain, key) = (folder.to_owned(), folder.join(chain), folder.join(key));
        let mut settings = settings(&chain, &key);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if fs::remove_file(folder.join("reload")).is_ok() {
                    settings = self::settings(&chain, &key);
                }
                let mut connection = ServerConnection::new(Arc::clone(&settings)).unwrap();
                while connection.is_handshaking() {
                    if connection.complete_io(&mut stream).is_err() {
                        break;
                    }
                }
                let _ = stream.flush();
            }
        });
        Self { port }
    }

    /// As `[certs] endpoints` names it.
    pub fn endpoint(&self) -> String {
        format!("{HOST}@127.0.0.1:{}", self.port)
    }
}

/// Shows one chain to everybody, whether or not it fits anything.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn settings(chain: &Path, key: &Path) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(chain)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let settings = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(chain, key)))));
    Arc::new(settings)
}
