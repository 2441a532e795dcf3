//! Values that must never be shown: not in reports, not by `config show`, not in a debug print.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::error::{self, Failure};
use crate::sys::files;

const LARGEST: u64 = 64 << 10;

/// A secret that stands in the configuration itself; printed as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Secret {
    /// True for what begins as an address in the web does, with a host.
    pub fn is_web_url(&self) -> bool {
        let rest = self.0.strip_prefix("https://");
        let rest = rest.or_else(|| self.0.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?']))
    }

    /// The value of a key and its `_file` twin. Read when it is needed, so that a missing file spoils only what needs it.
    pub fn read(
        key: &str,
        value: Option<&Self>,
        file: Option<&Path>,
    ) -> anyhow::Result<Option<String>> {
        match (value, file) {
            (Some(_), Some(_)) => Err(error::config(format!("{key} and {key}_file are both set"))
                .hint(format!("remove {key}"))
                .into()),
            (Some(value), None) => Ok(Some(value.0.clone())),
            (None, Some(file)) => Ok(Some(from_file(key, file)?)),
            (None, None) => Ok(None),
        }
    }
}

/// The first line of a file; a path may begin with `$NAME`, as `$CREDENTIALS_DIRECTORY/slack`.
fn from_file(key: &str, file: &Path) -> anyhow::Result<String> {
    let path = expand(key, file)?;
    let content = std::fs::canonicalize(&path)
        .map_err(anyhow::Error::from)
        .and_then(|real| files::read_small(&real, LARGEST))
        .map_err(|error| error::config(format!("{key}_file {}: {error:#}", path.display())))?;
    let text = String::from_utf8_lossy(&content);
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(error::config(format!("{key}_file {} is empty", path.display())).into()),
    }
}

fn expand(key: &str, file: &Path) -> Result<PathBuf, Failure> {
    let Some(text) = file.to_str().and_then(|text| text.strip_prefix('$')) else {
        return Ok(file.to_owned());
    };
    let (name, rest) = text.split_once('/').unwrap_or((text, ""));
    match std::env::var_os(name).filter(|value| !value.is_empty()) {
        Some(value) => Ok(PathBuf::from(value).join(rest)),
        None => Err(error::config(format!(
            "{key}_file: the environment variable {name} is not set"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_shown() {
        let secret = Secret("hunter2".into());
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).expect("json"), "\"***\"");
    }

    #[test]
    fn the_first_line_of_the_file_is_the_value() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        std::fs::write(&file, "hunter2\nrest\n").expect("writes");
        let value = Secret::read("password", None, Some(&file)).expect("reads");
        assert_eq!(value.as_deref(), Some("hunter2"));
        std::fs::write(&file, "\n").expect("writes");
        assert!(Secret::read("password", None, Some(&file)).is_err());
        let both = Secret::read("password", Some(&Secret("x".into())), Some(&file));
        assert!(both.is_err());
    }
}
