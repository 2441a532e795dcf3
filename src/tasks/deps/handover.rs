//! What `--fix` hands over and `--apply` takes: a folder with both files, a patch, and a manifest that comes last.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{damaged, missing};
use crate::report::Permit;
use crate::sys::files;

/// Its name; a date and time follow.
const PREFIX: &str = "deps_fix_";
const MANIFEST: &str = "manifest.json";
pub(super) const PATCH: &str = "fix.patch";
pub(super) const PACKAGE: &str = "package.json";
const LARGEST: u64 = 64 << 20;

/// Says what the files were made from and what they are.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub created_at: Timestamp,
    pub run_id: String,
    pub project: String,
    /// package-lock.json or npm-shrinkwrap.json.
    pub lock_file: String,
    /// SHA-256 of package.json and the lock file as they were.
    pub before: [String; 2],
    /// SHA-256 of both as they are here.
    pub after: [String; 2],
    /// `package advisory` of what is gone with it.
    pub fixed: Vec<String>,
    /// The command that has tested it.
    pub tested_with: Vec<String>,
}

/// package.json and the lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair(pub [Vec<u8>; 2]);

impl Pair {
    pub fn read(folder: &Path, lock_file: &str) -> anyhow::Result<Self> {
        Self::read_by(lock_file, |name| files::open_regular(&folder.join(name)))
    }

    /// The same from files that somebody opens.
    pub fn read_by(
        lock_file: &str,
        open: impl Fn(&str) -> anyhow::Result<File>,
    ) -> anyhow::Result<Self> {
        let read = |name: &str| -> anyhow::Result<Vec<u8>> {
            let mut content = Vec::new();
            open(name)?.take(LARGEST + 1).read_to_end(&mut content)?;
            anyhow::ensure!(
                content.len() as u64 <= LARGEST,
                "{name} is larger than {LARGEST} bytes"
            );
            Ok(content)
        };
        Ok(Self([read(PACKAGE)?, read(lock_file)?]))
    }

    pub fn digests(&self) -> [String; 2] {
        self.0.each_ref().map(|content| {
            Sha256::digest(content)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
    }
}

/// Writes all of it; without its manifest a folder is nothing.
pub(super) fn write(
    permit: &Permit,
    reports: &Path,
    manifest: &Manifest,
    pair: &Pair,
    patch: &[u8],
) -> anyhow::Result<PathBuf> {
    let folder = folder(reports, manifest.created_at);
    files::create_directory(permit, &folder)?;
    for (name, content) in [
        (PACKAGE, pair.0[0].as_slice()),
        (&manifest.lock_file, &pair.0[1]),
        (PATCH, patch),
    ] {
        files::replace(permit, &folder.join(name), content, 0o600)?;
    }
    let text = serde_json::to_vec_pretty(manifest)?;
    files::replace(permit, &folder.join(MANIFEST), &text, 0o600)?;
    files::sync_directory(reports)?;
    Ok(folder)
}

/// Where one of this moment lies.
pub(super) fn folder(reports: &Path, at: Timestamp) -> PathBuf {
    reports.join(format!("{PREFIX}{}", at.strftime("%Y%m%dT%H%M%SZ")))
}

/// The newest that is whole, with its files.
pub(super) fn newest(reports: &Path) -> anyhow::Result<(PathBuf, Manifest, Pair)> {
    for entry in files::list(reports)?.into_iter().rev() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let folder = entry.path();
        if !ours || files::link_metadata(&folder.join(MANIFEST))?.is_none() {
            continue;
        }
        let text = files::read_small(&folder.join(MANIFEST), LARGEST)?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .with_context(|| format!("cannot read {}", folder.join(MANIFEST).display()))?;
        if !["package-lock.json", "npm-shrinkwrap.json"].contains(&manifest.lock_file.as_str()) {
            return Err(damaged(format!("{} names no lock file", folder.display())).into());
        }
        let pair = Pair::read(&folder, &manifest.lock_file)?;
        if pair.digests() != manifest.after {
            return Err(damaged(format!(
                "the files in {} are not those that were tested",
                folder.display()
            ))
            .hint("empire-maint deps --fix")
            .into());
        }
        return Ok((folder, manifest, pair));
    }
    Err(
        missing(format!("nothing was handed over in {}", reports.display()))
            .hint("empire-maint deps --fix")
            .into(),
    )
}
