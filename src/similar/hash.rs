//! Numbers that look random and are the same everywhere. Nobody has to be unable to make two words meet here: what meets is compared.

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
    let mut hash = mix(bytes.len() as u64, 0x51_7c_c1_b7_27_22_0a_95);
    let mut eights = bytes.chunks_exact(8);
    for eight in &mut eights {
        let mut number = [0; 8];
        number.copy_from_slice(eight);
        hash = mix(hash, u64::from_le_bytes(number)).rotate_left(23);
    }
    let rest = eights.remainder();
    if !rest.is_empty() {
        let mut number = [0; 8];
        number[..rest.len()].copy_from_slice(rest);
        hash = mix(hash, u64::from_le_bytes(number)).rotate_left(23);
    }
    mix(hash, FACTOR.rotate_left(32))
}

/// A sequence of them.
pub struct Numbers(u64);

impl Numbers {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next (SplitMix64, Steele, Lea and Flood 2014).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(FACTOR);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }
}
