//! Readers of values that no section can do anything with: they are refused while the file is read, so that the error has its line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};

use crate::units::Length;

/// What a field may hold of something: one, none or one, several.
pub trait Each<T: ?Sized> {
    /// All of them.
    fn each(&self) -> Vec<&T>;
}

impl Each<Path> for PathBuf {
    fn each(&self) -> Vec<&Path> {
        vec![self]
    }
}

impl Each<Path> for Option<PathBuf> {
    fn each(&self) -> Vec<&Path> {
        self.iter().map(PathBuf::as_path).collect()
    }
}

impl Each<Path> for Vec<PathBuf> {
    fn each(&self) -> Vec<&Path> {
        self.iter().map(PathBuf::as_path).collect()
    }
}

/// Paths that can be somewhere.
pub fn path<'de, D: Deserializer<'de>, T: Deserialize<'de> + Each<Path>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = T::deserialize(deserializer)?;
    for path in value.each() {
        let text = path.to_string_lossy();
        if text.is_empty() {
            return Err(de::Error::custom("an empty path is nowhere"));
        }
        if text.contains(char::is_control) {
            let shown = text.escape_debug();
            return Err(de::Error::custom(format!(
                "the path '{shown}' has control characters in it"
            )));
        }
    }
    Ok(value)
}

/// Texts of which none is empty.
pub fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    match list.iter().any(String::is_empty) {
        true => Err(de::Error::custom("an empty text in it fits everything")),
        false => Ok(list),
    }
}

/// An argument list that names a program.
pub fn program<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    match names_program(&list) {
        true => Ok(Some(list)),
        false => Err(de::Error::custom("it names no program")),
    }
}

/// True where the argument list begins with something that can be run.
pub fn names_program(list: &[String]) -> bool {
    list.first().is_some_and(|first| !first.trim().is_empty())
}

/// A length of time in which something can happen.
pub fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Length, D::Error> {
    let length = Length::deserialize(deserializer)?;
    match length.0.is_zero() {
        true => Err(de::Error::custom("in no time nothing can be done")),
        false => Ok(length),
    }
}
