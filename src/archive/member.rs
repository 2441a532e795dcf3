//! One gzip member (RFC 1952): written by libdeflate, so it needs a C compiler and nothing else to build, and read by anything.

use anyhow::ensure;
use libdeflater::{CompressionLvl, Compressor, Decompressor};

use super::BLOCK;
use crate::error::damaged;

/// The codec and level that the index and the manifest name; members of another one are not copied.
pub const CODEC: &str = "deflate";
/// libdeflate's level 1: within 15% of the size of gzip -6 at a multiple of its speed.
pub const LEVEL: u32 = 1;

/// The longest member that this codec can make of a block, with room to spare; an index that says more is wrong.
pub const LONGEST: usize = BLOCK + BLOCK / 8 + 1024;

/// Compresses blocks; one a thread.
pub struct Deflater {
    compressor: Compressor,
    room: Vec<u8>,
}

impl Deflater {
    /// At the one level.
    pub fn new() -> anyhow::Result<Self> {
        let level = CompressionLvl::new(LEVEL.cast_signed())
            .map_err(|_| anyhow::anyhow!("libdeflate has no level {LEVEL}"))?;
        let mut compressor = Compressor::new(level);
        let room = vec![0; compressor.gzip_compress_bound(BLOCK)];
        Ok(Self { compressor, room })
    }

    /// Replaces `member` by the gzip member of `plain`, which is one block at most.
    pub fn compress(&mut self, plain: &[u8], member: &mut Vec<u8>) -> anyhow::Result<()> {
        let length = self
            .compressor
            .gzip_compress(plain, &mut self.room)
            .map_err(|error| anyhow::anyhow!("cannot compress: {error}"))?;
        member.clear();
        member.extend_from_slice(&self.room[..length]);
        Ok(())
    }
}

/// Inflates members; one a thread.
pub struct Inflater(Decompressor);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompressor::new())
    }
}

impl Inflater {
    /// Inflates into `plain`, which must be exactly filled.
    pub fn inflate(&mut self, member: &[u8], plain: &mut [u8]) -> anyhow::Result<()> {
        let length = self
            .0
            .gzip_decompress(member, plain)
            .map_err(|_| damaged("the gzip member does not inflate"))?;
        ensure!(
            length == plain.len(),
            damaged(format!(
                "a gzip member inflates to {length} bytes instead of {}",
                plain.len()
            ))
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_round_trip_and_are_reproducible_in_their_header() {
        let plain: Vec<u8> = (0..BLOCK).map(|i| (i / 7 % 256) as u8).collect();
        let mut member = Vec::new();
        Deflater::new()
            .and_then(|mut deflater| deflater.compress(&plain, &mut member))
            .expect("compresses");
        assert_eq!(&member[..4], &[0x1f, 0x8b, 8, 0], "no flags");
        assert_eq!(&member[4..8], &[0; 4], "no time");
        let mut back = vec![0; plain.len()];
        Inflater::default()
            .inflate(&member, &mut back)
            .expect("inflates");
        assert!(back == plain);
        let mut short = vec![0; plain.len() - 1];
        assert!(Inflater::default().inflate(&member, &mut short).is_err());
    }

    #[test]
    fn what_cannot_be_compressed_stays_within_the_bound() {
        let mut state = 1u64;
        let noise: Vec<u8> = (0..BLOCK)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        let mut member = Vec::new();
        Deflater::new()
            .and_then(|mut deflater| deflater.compress(&noise, &mut member))
            .expect("compresses");
        assert!(member.len() <= LONGEST);
    }
}
