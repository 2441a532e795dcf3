//! The private key that belongs to a certificate: found beside it by its name, compared with it, and never shown.

use std::path::{Path, PathBuf};

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::Certificate;
use crate::sys::files;

const LARGEST: u64 = 1 << 20;

/// The names under which the key of the certificate at `path` usually lies.
fn usual_places(path: &Path) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut names: Vec<String> = [".key", "-key.pem", ".key.pem", "_key.pem"]
        .iter()
        .map(|ending| format!("{stem}{ending}"))
        .collect();
    // What certbot and most others call the one certificate of a folder.
    if ["cert", "fullchain", "certificate", "server"].contains(&&*stem) {
        names.extend(["privkey.pem", "key.pem", "server.key", "private.key"].map(str::to_owned));
    }
    let folder = files::parent(path);
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// Where the key of a certificate file is, and whether it is the key of `leaf`: `None` where there is none that can be read or
/// compared. `content` is the file's own.
pub(super) fn belongs(path: &Path, content: &[u8], leaf: &Certificate) -> Option<(PathBuf, bool)> {
    if let Some(answer) = fits(content, leaf) {
        return Some((path.to_owned(), answer));
    }
    usual_places(path).into_iter().find_map(|place| {
        let real = std::fs::canonicalize(&place).ok()?;
        let content = files::read_small(&real, LARGEST).ok()?;
        Some((place, fits(&content, leaf)?))
    })
}

/// `None` where there is no key in it, or one that is encrypted or of a kind that cannot be compared.
fn fits(content: &[u8], leaf: &Certificate) -> Option<bool> {
    let key = PrivateKeyDer::from_pem_slice(content).ok()?;
    let public = any_supported_type(&key)
        .ok()
        .and_then(|key| key.public_key().map(|public| public.to_vec()));
    match public {
        Some(public) => Some(public == leaf.spki),
        // Every private RSA key holds the modulus as it is, whatever its size.
        None if leaf.key.modulus.len() > 32 => {
            let found = memchr::memmem::find(key.secret_der(), &leaf.key.modulus);
            Some(found.is_some())
        }
        None => None,
    }
}
