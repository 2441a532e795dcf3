//! Certificates, in files and as they are served: the whole chain, by the second. Whom a chain is trusted by is another question.

mod life;
mod served;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

pub use life::{Stage, stage};
pub use served::{Endpoint, served};

use crate::sys::files;

const LARGEST: u64 = 1 << 20;
const MOST: usize = 100;

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it names.
    pub subject: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// The certificates of a file, in its order: PEM, as many as there are, or one in DER.
pub fn of_file(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    // A link is what certbot leaves under live/: what it leads to is read.
    let real = std::fs::canonicalize(path)
        .with_context(|| format!("cannot look at {}", path.display()))?;
    let content = files::read_small(&real, LARGEST)?;
    of_bytes(&content).with_context(|| format!("{} cannot be read", path.display()))
}

fn of_bytes(content: &[u8]) -> anyhow::Result<Vec<Certificate>> {
    const MARK: &[u8] = b"-----BEGIN ";
    if memchr::memmem::find(content, MARK).is_none() {
        return Ok(vec![of_der(content)?]);
    }
    let mut found = Vec::new();
    for pem in Pem::iter_from_buffer(content) {
        let pem = pem.context("it is damaged PEM")?;
        if matches!(pem.label.as_str(), "CERTIFICATE" | "TRUSTED CERTIFICATE") {
            found.push(of_der(&pem.contents)?);
        }
        anyhow::ensure!(found.len() <= MOST, "more than {MOST} certificates");
    }
    anyhow::ensure!(!found.is_empty(), "there is no certificate in it");
    Ok(found)
}

fn of_der(content: &[u8]) -> anyhow::Result<Certificate> {
    let (_, certificate) = X509Certificate::from_der(content).context("it is not a certificate")?;
    let name = certificate
        .subject()
        .iter_common_name()
        .find_map(|name| name.as_str().ok())
        .map(str::to_owned)
        .unwrap_or_else(|| certificate.subject().to_string());
    let life = certificate.validity();
    Ok(Certificate {
        subject: match name.is_empty() {
            true => "without a name".to_owned(),
            false => name,
        },
        not_before: life.not_before.timestamp(),
        not_after: life.not_after.timestamp(),
    })
}

/// A file as it is; of a directory the files that have a certificate's usual endings.
pub fn files_below(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !files::metadata(path)?.is_some_and(|meta| meta.is_dir()) {
        return Ok(vec![path.to_owned()]);
    }
    let mut found: Vec<PathBuf> = files::list(path)?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| {
            let ending = path.extension().and_then(|ending| ending.to_str());
            matches!(ending, Some("pem" | "crt" | "cer"))
        })
        .collect();
    // Beside each certificate usually lies its key.
    found.retain(|path| !is_key(path));
    Ok(found)
}

fn is_key(path: &Path) -> bool {
    let Ok(content) = std::fs::canonicalize(path)
        .map_err(anyhow::Error::from)
        .and_then(|real| files::read_small(&real, LARGEST))
    else {
        return false;
    };
    let has = |mark: &[u8]| memchr::memmem::find(&content, mark).is_some();
    has(b"PRIVATE KEY-----") && !has(b"-----BEGIN CERTIFICATE-----")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_from_outside_are_an_error_and_no_panic(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(of_bytes(&content).is_err());
            let mut pem = b"-----BEGIN CERTIFICATE-----\n".to_vec();
            pem.extend(&content);
            pem.extend(b"\n-----END CERTIFICATE-----\n");
            prop_assert!(of_bytes(&pem).is_err());
        }
    }
}
