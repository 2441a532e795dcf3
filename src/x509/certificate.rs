//! One certificate, read once: everything that is judged later is in plain data.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{self, Oid};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use crate::text;

/// More names than this are a mistake or an attack; public authorities stop at 100.
const MOST_NAMES: usize = 1000;

/// What a certificate says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it names: the common name, else the first host, else the whole subject.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// The serial number, in hexadecimal digits.
    pub serial: String,
    /// SHA-256 of the whole certificate, in hexadecimal digits: what `openssl x509 -fingerprint -sha256` shows, without colons.
    pub fingerprint: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// The hosts that it is for.
    pub names: Vec<String>,
    /// The addresses that it is for.
    pub addresses: Vec<IpAddr>,
    /// True when it may sign others.
    pub authority: bool,
    /// Its key.
    pub key: Key,
    /// How it was signed: `sha256WithRSAEncryption`.
    pub signature: String,
    /// What no sound certificate has, in sentences.
    pub odd: Vec<String>,
    /// Subject as it was encoded.
    pub(super) subject_der: Vec<u8>,
    /// Issuer as it was encoded.
    pub(super) issuer_der: Vec<u8>,
    /// Its key as it was encoded.
    pub(super) spki: Vec<u8>,
    /// All of it.
    pub(super) der: Vec<u8>,
}

/// A public key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// RSA, P-256, Ed25519…
    pub kind: String,
    /// Its size.
    pub bits: usize,
    /// The modulus of an RSA key, without leading zeros.
    pub(super) modulus: Vec<u8>,
}

impl Certificate {
    /// Reads one in DER.
    pub fn read(der: &[u8]) -> anyhow::Result<Self> {
        let (rest, certificate) =
            X509Certificate::from_der(der).context("it is not a certificate")?;
        let mut odd = Vec::new();
        if !rest.is_empty() {
            odd.push(format!("{} bytes follow it", rest.len()));
        }
        let (names, addresses) = names(&certificate, &mut odd);
        for (whose, name) in [
            ("subject", certificate.subject()),
            ("issuer", certificate.issuer()),
        ] {
            if words(name).any(|word| word.chars().any(char::is_control)) {
                odd.push(format!("its {whose} has a control character in it"));
            }
        }
        let authority = match certificate.basic_constraints() {
            Ok(constraints) => constraints.is_some_and(|constraints| constraints.value.ca),
            Err(_) => {
                odd.push("whether it may sign others is said twice or not readable".to_owned());
                false
            }
        };
        let life = certificate.validity();
        let (not_before, not_after) = (life.not_before.timestamp(), life.not_after.timestamp());
        if not_after < not_before {
            odd.push("it ends before it begins".to_owned());
        }
        let key = key(certificate.public_key());
        if key.kind == "RSA" && key.bits > 8192 {
            odd.push(format!(
                "its RSA key has {} bits (limit 8192): many clients refuse it",
                key.bits
            ));
        }
        Ok(Self {
            subject: shown(certificate.subject(), names.first()),
            issuer: shown(certificate.issuer(), None),
            serial: hex(certificate.raw_serial()),
            fingerprint: hex(&Sha256::digest(der)),
            not_before,
            not_after,
            names,
            addresses,
            authority,
            key,
            signature: algorithm(&certificate.signature_algorithm.algorithm),
            odd,
            subject_der: certificate.subject().as_raw().to_vec(),
            issuer_der: certificate.issuer().as_raw().to_vec(),
            spki: certificate.public_key().raw.to_vec(),
            der: der.to_vec(),
        })
    }

    /// True when subject and issuer are one: a root, or one that somebody made for himself.
    pub fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// True when the names fit: `issuer` may be the one that has signed this one.
    pub(super) fn names_as_issuer(&self, issuer: &Self) -> bool {
        self.issuer_der == issuer.subject_der
    }

    /// Whether the key of `issuer` has signed this one; `None` where nobody here can say.
    pub(super) fn is_signed_by(&self, issuer: &Self) -> Option<bool> {
        let (_, certificate) = X509Certificate::from_der(&self.der).ok()?;
        let (_, spki) = SubjectPublicKeyInfo::from_der(&issuer.spki).ok()?;
        let checkable = match issuer.key.kind.as_str() {
            "RSA" => (2048..=8192).contains(&issuer.key.bits),
            _ => true,
        };
        match certificate.verify_signature(Some(&spki)) {
            Ok(()) => Some(true),
            Err(X509Error::SignatureVerificationError) if checkable => Some(false),
            Err(_) => None,
        }
    }

    /// Why its key or its signature is weak. Nobody relies on the signature of a root.
    pub fn weakness(&self) -> Option<String> {
        let (kind, bits) = (self.key.kind.as_str(), self.key.bits);
        let least = match kind {
            "RSA" | "DSA" => 2048,
            "Ed25519" | "Ed448" => 0,
            _ => 224,
        };
        if bits < least {
            return Some(format!("its {kind} key has {bits} bits (limit {least})"));
        }
        let weak = FORGEABLE.iter().any(|(_, name)| *name == self.signature);
        (weak && !self.is_self_issued()).then(|| format!("it is signed with {}", self.signature))
    }
}

/// The hosts and addresses; the common name has not counted for long.
fn names(certificate: &X509Certificate<'_>, odd: &mut Vec<String>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    let extension = match certificate.subject_alternative_name() {
        Ok(extension) => extension,
        Err(_) => {
            odd.push("its names are said twice or not readable".to_owned());
            None
        }
    };
    let all = extension.map_or(&[][..], |extension| &extension.value.general_names);
    if all.len() > MOST_NAMES {
        odd.push(format!("it has {} names (limit {MOST_NAMES})", all.len()));
    }
    let mut unreadable = 0;
    for name in all {
        match name {
            GeneralName::DNSName(name) if is_host(name) => names.push(name.to_lowercase()),
            GeneralName::IPAddress(bytes) => match address(bytes) {
                Some(address) => addresses.push(address),
                None => unreadable += 1,
            },
            GeneralName::DNSName(_) | GeneralName::Invalid(..) => unreadable += 1,
            _ => {}
        }
    }
    if unreadable > 0 {
        odd.push(format!(
            "{unreadable} of its names are no host and no address"
        ));
    }
    (names, addresses)
}

/// No NUL, no blank, nothing but what a host's name has: `bank.test\0.evil.test` is none.
fn is_host(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    !name.is_empty() && name.len() <= 255 && name.bytes().all(fine)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

fn words<'a>(name: &'a X509Name<'a>) -> impl Iterator<Item = &'a str> {
    name.iter_attributes()
        .filter_map(|attribute| attribute.as_str().ok())
}

fn shown(name: &X509Name<'_>, host: Option<&String>) -> String {
    let common = name
        .iter_common_name()
        .find_map(|name| name.as_str().ok())
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    let shown = common
        .or_else(|| host.cloned())
        .unwrap_or_else(|| name.to_string());
    match shown.is_empty() {
        true => "without a name".to_owned(),
        false => text::shorten(&text::clean(&shown), 200),
    }
}

fn key(spki: &SubjectPublicKeyInfo<'_>) -> Key {
    let kind = algorithm(&spki.algorithm.algorithm);
    let curve = spki
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.as_oid().ok())
        .map(|oid| algorithm(&oid));
    let made = |kind: &str, bits, modulus| Key {
        kind: kind.to_owned(),
        bits,
        modulus,
    };
    match spki.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let zeros = rsa.modulus.iter().take_while(|byte| **byte == 0).count();
            let modulus = rsa.modulus[zeros..].to_vec();
            let first = modulus.first().map_or(0, |byte| byte.leading_zeros());
            made(
                "RSA",
                (modulus.len() * 8).saturating_sub(first as usize),
                modulus,
            )
        }
        // P-521 is written in 66 bytes.
        Ok(PublicKey::EC(point)) => match curve.as_deref() {
            Some("prime256v1") => made("P-256", 256, Vec::new()),
            Some("secp384r1") => made("P-384", 384, Vec::new()),
            Some("secp521r1") => made("P-521", 521, Vec::new()),
            other => made(other.unwrap_or("EC"), point.key_size(), Vec::new()),
        },
        Ok(PublicKey::DSA(value)) => made("DSA", value.len() * 8, Vec::new()),
        _ if kind.eq_ignore_ascii_case("ed25519") => made("Ed25519", 256, Vec::new()),
        _ if kind.eq_ignore_ascii_case("ed448") => made("Ed448", 456, Vec::new()),
        _ => made(&kind, spki.subject_public_key.data.len() * 8, Vec::new()),
    }
}

/// Signatures that anybody can forge today, by number and name.
const FORGEABLE: [(&str, &str); 7] = [
    ("1.2.840.113549.1.1.2", "md2WithRSAEncryption"),
    ("1.2.840.113549.1.1.3", "md4WithRSAEncryption"),
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.3.14.3.2.29", "sha1WithRSA"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10040.4.3", "dsa-with-SHA1"),
];

/// Its short name, else its numbers.
fn algorithm(oid: &Oid<'_>) -> String {
    let numbers = oid.to_id_string();
    if let Some((_, name)) = FORGEABLE.iter().find(|(known, _)| *known == numbers) {
        return (*name).to_owned();
    }
    match oid_registry::OidRegistry::default()
        .with_crypto()
        .with_x509()
        .get(oid)
    {
        Some(entry) => entry.sn().to_owned(),
        None => numbers,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_what_only_looks_like_one() {
        for (name, host) in [
            ("example.test", true),
            ("*.example.test", true),
            ("_dmarc.example.test", true),
            ("bank.test\0.evil.test", false),
            ("with blank.test", false),
            ("", false),
        ] {
            assert_eq!(is_host(name), host, "{name:?}");
        }
    }

    #[test]
    fn a_weak_signature_counts_where_somebody_relies_on_it() {
        let mut certificate = Certificate {
            key: Key {
                kind: "RSA".into(),
                bits: 2048,
                modulus: Vec::new(),
            },
            signature: "sha1WithRSAEncryption".into(),
            subject_der: vec![1],
            issuer_der: vec![2],
            ..Certificate::default()
        };
        let why = certificate.weakness().expect("weak");
        assert!(why.contains("sha1"), "{why}");
        certificate.issuer_der = vec![1];
        assert_eq!(certificate.weakness(), None);
        certificate.key.bits = 1024;
        let why = certificate.weakness().expect("weak");
        assert!(why.contains("1024 bits (limit 2048)"), "{why}");
        certificate.key = Key {
            kind: "P-256".into(),
            bits: 256,
            modulus: Vec::new(),
        };
        assert_eq!(certificate.weakness(), None);
    }
}
