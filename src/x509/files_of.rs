//! Certificate files: PEM or DER, alone or in folders.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use x509_parser::pem::Pem;

use super::Certificate;
use crate::sys::files;

const LARGEST: u64 = 1 << 20;
/// `/etc/letsencrypt/live/NAME/fullchain.pem` lies two below `/etc/letsencrypt/live`.
const DEEPEST: usize = 3;
const MOST_FILES: usize = 1000;

/// A system's list of authorities, as far as it can be read.
pub fn authorities_of(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    Ok(Pem::iter_from_buffer(&read(path)?)
        .filter_map(|pem| Certificate::read(&pem.ok()?.contents).ok())
        .collect())
}

/// A link is what certbot leaves under live/: what it leads to is read.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let real = std::fs::canonicalize(path)
        .with_context(|| format!("cannot look at {}", path.display()))?;
    files::read_small(&real, LARGEST)
}

/// The certificates of a file, in its order: PEM, as many as there are, or one in DER.
pub(super) fn of_bytes(content: &[u8], most: usize) -> anyhow::Result<Vec<Certificate>> {
    const MARK: &[u8] = b"-----BEGIN ";
    if memchr::memmem::find(content, MARK).is_none() {
        return Ok(vec![Certificate::read(content)?]);
    }
    let mut found = Vec::new();
    for pem in Pem::iter_from_buffer(content) {
        let pem = pem.context("it is damaged PEM")?;
        if matches!(pem.label.as_str(), "CERTIFICATE" | "TRUSTED CERTIFICATE") {
            found.push(Certificate::read(&pem.contents)?);
        }
        anyhow::ensure!(found.len() <= most, "more than {most} certificates");
    }
    anyhow::ensure!(!found.is_empty(), "there is no certificate in it");
    Ok(found)
}

/// A file as it is; of a folder and those below it the files that have a certificate's usual endings. Where a folder has
/// certbot's `fullchain.pem`, its two halves beside it are left out.
pub(super) fn files_below(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !files::metadata(path)?.is_some_and(|meta| meta.is_dir()) {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    add_below(path, DEEPEST, &mut found)?;
    Ok(found)
}

fn add_below(folder: &Path, deeper: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let whole = files::metadata(&folder.join("fullchain.pem"))?.is_some();
    for entry in files::list(folder)? {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if deeper > 1 {
                add_below(&path, deeper - 1, found)?;
            }
            continue;
        }
        let name = entry.file_name();
        let half = whole && (name == "cert.pem" || name == "chain.pem");
        let ending = path.extension().and_then(|ending| ending.to_str());
        // Beside each certificate usually lies its key.
        if matches!(ending, Some("pem" | "crt" | "cer")) && !half && !is_key(&path) {
            found.push(path);
        }
        anyhow::ensure!(
            found.len() <= MOST_FILES,
            "{} has more than {MOST_FILES} certificate files",
            folder.display()
        );
    }
    Ok(())
}

fn is_key(path: &Path) -> bool {
    let Ok(content) = read(path) else {
        return false;
    };
    let has = |mark: &[u8]| memchr::memmem::find(&content, mark).is_some();
    has(b"PRIVATE KEY-----") && !has(b"-----BEGIN CERTIFICATE-----")
}

#[cfg(test)]
mod tests {
    use super::super::MOST;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_from_outside_are_an_error_and_no_panic(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(of_bytes(&content, MOST).is_err());
            let mut pem = b"-----BEGIN CERTIFICATE-----\n".to_vec();
            pem.extend(&content);
            pem.extend(b"\n-----END CERTIFICATE-----\n");
            prop_assert!(of_bytes(&pem, MOST).is_err());
        }
    }
}
