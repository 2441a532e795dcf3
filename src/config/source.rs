//! The file: where it is looked for, and why it may not be used.

use std::path::{Path, PathBuf};

use crate::error;
use crate::sys::process::shell_path;
use crate::sys::{files, machine};

/// The environment variable that names the configuration file.
pub const VARIABLE: &str = "EMPIRE_MAINT_CONFIG";

/// Where the system's own configuration is.
pub const SYSTEM_FILE: &str = "/etc/empire-maint/config.toml";
const OWN_FILE: &str = "empire-maint.toml";
const LARGEST: u64 = 1 << 20;

/// The first file that is there, of those that need not be named.
pub fn find() -> anyhow::Result<Option<PathBuf>> {
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(Some(path.into()));
    }
    let mut candidates = vec![PathBuf::from(SYSTEM_FILE)];
    if !machine::is_root() {
        candidates.push(PathBuf::from(OWN_FILE));
    }
    for candidate in candidates {
        if files::metadata(&candidate)?.is_some() {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

/// Its text, if it is one that this user may go by.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let meta = files::metadata(path)
        .map_err(|error| error::config(format!("cannot read {shown}: {error}")))?
        .ok_or_else(|| {
            error::missing(format!("there is no configuration file {shown}"))
                .hint(format!("empire-maint config init > {shown}"))
        })?;
    if !meta.is_file() {
        return Err(error::config(format!("{shown} is not a file")).into());
    }
    require_ours(path, &meta)?;
    if meta.len() > LARGEST {
        return Err(error::config(format!("{shown} is larger than 1 MiB")).into());
    }
    let real = std::fs::canonicalize(path)?;
    let content =
        files::read_small(&real, LARGEST).map_err(|error| error::config(format!("{error:#}")))?;
    let text = String::from_utf8(content).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
            + 1;
        error::config(format!("{shown}:{line}: not valid UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// As root, a file or directory that somebody else can write would let them run commands as root.
fn require_ours(path: &Path, meta: &std::fs::Metadata) -> anyhow::Result<()> {
    if !machine::is_root() {
        return Ok(());
    }
    let real = std::fs::canonicalize(path)?;
    // The file, the directory it lies in, and the one that a link to it lies in: whoever can change that can point it elsewhere.
    let (there, here) = (files::parent(&real), files::parent(path));
    let (there_meta, here_meta) = (std::fs::metadata(there)?, std::fs::metadata(here)?);
    for (path, meta) in [(&*real, meta), (there, &there_meta), (here, &here_meta)] {
        if !machine::is_ours(meta) {
            return Err(error::config(format!(
                "{} belongs to somebody else or can be written by others, so root does not use it",
                path.display()
            ))
            .hint(format!(
                "chown root {0} && chmod go-w {0}",
                shell_path(path)
            ))
            .into());
        }
    }
    Ok(())
}
