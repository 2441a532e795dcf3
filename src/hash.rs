//! Numbers that look random and are the same everywhere. Nobody has to be unable to make two things meet here: what meets is compared.

use std::hash::{BuildHasher, Hasher, RandomState};

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of the product, over each other: every bit of the number reaches every bit of the result.
#[inline]
pub fn mix(number: u64, with: u64) -> u64 {
    let product = u128::from(number ^ with) * u128::from(FACTOR | 1);
    (product as u64) ^ (product >> 64) as u64
}

/// Of some bytes.
#[inline]
pub fn bytes(bytes: &[u8]) -> u64 {
    keyed(0x51_7c_c1_b7_27_22_0a_95, bytes)
}

#[inline]
fn keyed(key: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(bytes.len() as u64, key);
    let mut take = |number: u64| hash = mix(hash, number).rotate_left(23);
    if let Some(last) = bytes.last_chunk() {
        for eight in bytes.as_chunks().0 {
            take(u64::from_le_bytes(*eight));
        }
        // What comes before it is taken twice, which is less work than parts of eight.
        take(u64::from_le_bytes(*last));
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        take(u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32);
    } else {
        take(
            bytes
                .iter()
                .fold(0, |number, &byte| number << 8 | u64::from(byte)),
        );
    }
    mix(hash, FACTOR.rotate_left(32))
}

/// For a table whose keys somebody may have made: nobody can know which of them meet.
pub struct Keyed(u64);

impl Default for Keyed {
    fn default() -> Self {
        Self(RandomState::new().hash_one(FACTOR))
    }
}

impl BuildHasher for Keyed {
    type Hasher = Key;

    fn build_hasher(&self) -> Key {
        Key(self.0)
    }
}

/// The number of one key.
pub struct Key(u64);

impl Hasher for Key {
    fn write(&mut self, key: &[u8]) {
        self.0 = keyed(self.0, key);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A sequence of them.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next.
    #[expect(clippy::should_implement_trait, reason = "there is no end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(FACTOR);
        scatter(self.0)
    }
}

/// Another number for each, of which no two that differ have anything in common (SplitMix64, Steele, Lea and Flood 2014).
#[inline]
pub fn scatter(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
