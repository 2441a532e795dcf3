//! Certificate files: PEM or DER, alone or in folders.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use x509_parser::pem::Pem;

use super::Certificate;
use crate::sys::files;

const LARGEST: u64 = 1 << 20;
/// `/etc/letsencrypt/live/NAME/fullchain.pem` lies two below `/etc/letsencrypt/live`.
const DEEPEST: usize = 3;
const MOST_FILES: usize = 1000;
const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
/// What certificates are called, by old programs too.
const LABELS: [&str; 3] = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];

/// A system's list of authorities, as far as it can be read.
pub fn authorities_of(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    Ok(sections(&read(path)?)
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
    if memchr::memmem::find(content, BEGIN).is_none() {
        return Ok(vec![Certificate::read(content)?]);
    }
    let mut found = Vec::new();
    for pem in sections(content) {
        let pem = pem.context("it is damaged PEM")?;
        if LABELS.contains(&pem.label.as_str()) {
            found.push(Certificate::read(&pem.contents)?);
        }
        anyhow::ensure!(found.len() <= most, "more than {most} certificates");
    }
    anyhow::ensure!(!found.is_empty(), "there is no certificate in it");
    Ok(found)
}

/// What stands between each BEGIN and its END. Servers find these marks wherever they stand in a line, so that none may be passed
/// over here: behind a blank, a byte order mark, or the END before it.
fn sections(content: &[u8]) -> impl Iterator<Item = anyhow::Result<Pem>> + '_ {
    let marks: Vec<usize> = memchr::memmem::find_iter(content, BEGIN).collect();
    (0..marks.len()).map(move |index| {
        let next = marks.get(index + 1).copied().unwrap_or(content.len());
        let part = &content[marks[index]..next];
        let end = memchr::memmem::find(part, END).context("a BEGIN has no END")?;
        let rest = &part[end + END.len()..];
        let dashes = memchr::memmem::find(rest, b"-----").context("an END has no end")?;
        let text = std::str::from_utf8(&part[..end + END.len() + dashes + 5])?;
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let (pem, _) = Pem::read(Cursor::new(lines.join("\n")))?;
        Ok(pem)
    })
}

/// A file as it is; of a folder and those below it the files that have a certificate's usual endings. Where a folder has
/// certbot's `fullchain.pem`, its two halves beside it are left out. A folder that cannot be looked into is there with the reason.
pub(super) fn files_below(path: &Path) -> Below {
    let mut found = Vec::new();
    match files::metadata(path) {
        Ok(Some(meta)) if meta.is_dir() => {
            add_folder(path, DEEPEST, &mut found);
            if found.is_empty() {
                let none = anyhow::anyhow!("there is no certificate in {}", path.display());
                found.push((path.to_owned(), Err(none)));
            }
        }
        Ok(_) => found.push((path.to_owned(), Ok(()))),
        Err(error) => found.push((path.to_owned(), Err(error.into()))),
    }
    found
}

type Below = Vec<(PathBuf, anyhow::Result<()>)>;

/// One bad folder is no reason to pass over the others.
fn add_folder(folder: &Path, deeper: usize, found: &mut Below) {
    if let Err(error) = add_below(folder, deeper, found) {
        found.push((folder.to_owned(), Err(error)));
    }
}

fn add_below(folder: &Path, deeper: usize, found: &mut Below) -> anyhow::Result<()> {
    let whole = files::metadata(&folder.join("fullchain.pem"))?.is_some();
    for entry in files::list(folder)? {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if deeper > 1 {
                add_folder(&path, deeper - 1, found);
            }
            continue;
        }
        let name = entry.file_name();
        let half = whole && (name == "cert.pem" || name == "chain.pem");
        let ending = path.extension().and_then(|ending| ending.to_str());
        // Beside each certificate usually lies its key.
        if matches!(ending, Some("pem" | "crt" | "cer" | "der")) && !half && !is_key(&path) {
            found.push((path, Ok(())));
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
    has(b"PRIVATE KEY-----") && !has(b"CERTIFICATE-----")
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
