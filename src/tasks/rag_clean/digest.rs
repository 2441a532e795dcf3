//! Hashes as applications keep them: hexadecimal digits or bytes, the kind told by their length or by the configuration.

use std::io::{self, Read};

use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::config::sections::RagHash;

/// A kept hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    kind: RagHash,
    bytes: Vec<u8>,
}

impl Kept {
    /// What a column holds; `None` for what is no hash of that kind. A prefix like `sha256:` says which it is.
    pub fn read(value: &[u8], configured: RagHash) -> Option<Self> {
        let value = value.trim_ascii();
        let (named, digits) = match value.iter().position(|byte| *byte == b':') {
            Some(at) if at <= 8 && value.is_ascii() => {
                (kind_called(&value[..at])?, &value[at + 1..])
            }
            _ => (configured, value),
        };
        let bytes = unhex(digits).unwrap_or_else(|| digits.to_vec());
        let kind = match named {
            RagHash::Auto => match bytes.len() {
                16 => RagHash::Md5,
                20 => RagHash::Sha1,
                32 => RagHash::Sha256,
                64 => RagHash::Sha512,
                _ => return None,
            },
            named => named,
        };
        (bytes.len() == length(kind)).then_some(Self { kind, bytes })
    }

    /// True when it is the hash of what `content` gives. `check` is asked between pieces.
    pub fn is_of(
        &self,
        content: &mut dyn Read,
        check: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        Ok(hash(self.kind, content, check)? == self.bytes)
    }

    /// The same for a text in memory.
    pub fn is_of_text(&self, text: &[u8]) -> bool {
        hash(self.kind, &mut &*text, &mut || Ok(())).is_ok_and(|found| found == self.bytes)
    }
}

/// The hash of a text as hexadecimal digits; SHA-256 where the configuration leaves it open.
pub fn of_text(text: &[u8], configured: RagHash) -> String {
    let kind = match configured {
        RagHash::Auto => RagHash::Sha256,
        kind => kind,
    };
    let bytes = hash(kind, &mut &*text, &mut || Ok(())).unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(
    kind: RagHash,
    content: &mut dyn Read,
    check: &mut dyn FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<u8>> {
    match kind {
        RagHash::Md5 => digest::<Md5>(content, check),
        RagHash::Sha1 => digest::<Sha1>(content, check),
        RagHash::Sha512 => digest::<Sha512>(content, check),
        RagHash::Sha256 | RagHash::Auto => digest::<Sha256>(content, check),
        RagHash::Blake3 => {
            let mut hasher = blake3::Hasher::new();
            pieces(content, check, &mut |piece| {
                hasher.update(piece);
            })?;
            Ok(hasher.finalize().as_bytes().to_vec())
        }
    }
}

fn digest<D: sha2::Digest>(
    content: &mut dyn Read,
    check: &mut dyn FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<u8>> {
    let mut hasher = D::new();
    pieces(content, check, &mut |piece| hasher.update(piece))?;
    Ok(hasher.finalize().to_vec())
}

fn pieces(
    content: &mut dyn Read,
    check: &mut dyn FnMut() -> anyhow::Result<()>,
    take: &mut dyn FnMut(&[u8]),
) -> anyhow::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        check()?;
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => take(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn length(kind: RagHash) -> usize {
    match kind {
        RagHash::Md5 => 16,
        RagHash::Sha1 => 20,
        RagHash::Auto | RagHash::Sha256 | RagHash::Blake3 => 32,
        RagHash::Sha512 => 64,
    }
}

fn kind_called(name: &[u8]) -> Option<RagHash> {
    let name: Vec<u8> = name
        .iter()
        .filter(|byte| **byte != b'-')
        .map(u8::to_ascii_lowercase)
        .collect();
    match name.as_slice() {
        b"md5" => Some(RagHash::Md5),
        b"sha1" => Some(RagHash::Sha1),
        b"sha256" => Some(RagHash::Sha256),
        b"sha512" => Some(RagHash::Sha512),
        b"blake3" => Some(RagHash::Blake3),
        _ => None,
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let number = |digit: u8| char::from(digit).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|two| u8::try_from(number(two[0])? * 16 + number(two[1])?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "abc", from the standards' own examples.
    const ABC: [(&str, RagHash); 4] = [
        ("900150983cd24fb0d6963f7d28e17f72", RagHash::Auto),
        ("a9993e364706816aba3e25717850c26c9cd0d89d", RagHash::Auto),
        (
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            RagHash::Auto,
        ),
        (
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
            RagHash::Blake3,
        ),
    ];

    #[test]
    fn the_kind_is_told_by_the_length() {
        for (digits, configured) in ABC {
            let kept = Kept::read(digits.as_bytes(), configured).expect(digits);
            assert!(kept.is_of_text(b"abc"), "{digits}");
            assert!(!kept.is_of_text(b"abd"), "{digits}");
            let upper = digits.to_ascii_uppercase();
            assert_eq!(Kept::read(upper.as_bytes(), configured), Some(kept.clone()));
            let raw = unhex(digits.as_bytes()).expect("digits");
            assert_eq!(Kept::read(&raw, configured), Some(kept));
        }
        let named = format!("sha-256:{}", ABC[2].0);
        assert!(
            Kept::read(named.as_bytes(), RagHash::Auto)
                .expect("reads")
                .is_of_text(b"abc")
        );
        for no_hash in ["", "abc", "crc:00000000", "900150983cd24fb0d6963f7d28e17f7"] {
            assert_eq!(
                Kept::read(no_hash.as_bytes(), RagHash::Auto),
                None,
                "{no_hash}"
            );
        }
        assert_eq!(of_text(b"abc", RagHash::Auto), ABC[2].0);
    }
}
