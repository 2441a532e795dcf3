//! Numbers that look random and are the same on every machine and in every run.

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// splitmix64
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins where it always does.
    pub fn new() -> Self {
        Self(STEP)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }
}
