//! One gzip member (RFC 1952): written by ISA-L or libdeflate, whichever suits the data, inflated by libdeflate, and read by anything.

use anyhow::{Context as _, ensure};
use isal::CompressionLevel;
use libdeflater::{CompressionLvl, Compressor, Decompressor};

use super::BLOCK;
use crate::error::damaged;

/// The codec and level that the index and the manifest name; members of another one are not copied.
pub const CODEC: &str = "deflate";
/// Level 1 of either library.
pub const LEVEL: u32 = 1;

/// The longest member that this codec can make of a block, with room to spare; an index that says more is wrong.
pub const LONGEST: usize = BLOCK + BLOCK / 8 + 1024;

/// ISA-L takes half of libdeflate's time or less. On tables of records it costs about 3% in size; on prose and source code it costs
/// so much that the whole would no longer be within 15% of gzip -6, as libdeflate is.
const MOST_LARGER: f64 = 1.04;
/// How many blocks a choice lasts. To look costs the time of both, so the slow choice is looked at again sooner.
const FAST_LASTS: u32 = 64;
const SMALL_LASTS: u32 = 16;

/// Compresses blocks; one a thread.
pub struct Deflater {
    libdeflate: Compressor,
    room: Vec<u8>,
    fast: bool,
    choice_lasts: u32,
}

impl Deflater {
    /// Which library suits the data shows with the first block.
    pub fn new() -> anyhow::Result<Self> {
        let level = CompressionLvl::new(LEVEL.cast_signed())
            .map_err(|_| anyhow::anyhow!("libdeflate has no level {LEVEL}"))?;
        Ok(Self {
            libdeflate: Compressor::new(level),
            room: vec![0; LONGEST],
            fast: true,
            choice_lasts: 0,
        })
    }

    /// Appends the gzip member of `plain`, which is one block at most.
    pub fn compress(&mut self, plain: &[u8], members: &mut Vec<u8>) -> anyhow::Result<()> {
        if self.choice_lasts == 0 {
            return self.choose(plain, members);
        }
        self.choice_lasts -= 1;
        if self.fast {
            self.fast(plain, members)
        } else {
            self.small(plain, members)
        }
    }

    /// Compresses with both, and keeps for the next blocks to what does better on this one.
    fn choose(&mut self, plain: &[u8], members: &mut Vec<u8>) -> anyhow::Result<()> {
        let start = members.len();
        self.fast(plain, members)?;
        let fast = members.len() - start;
        members.truncate(start);
        self.small(plain, members)?;
        let small = members.len() - start;
        self.fast = fast as f64 <= small as f64 * MOST_LARGER;
        self.choice_lasts = if self.fast { FAST_LASTS } else { SMALL_LASTS };
        Ok(())
    }

    fn fast(&mut self, plain: &[u8], members: &mut Vec<u8>) -> anyhow::Result<()> {
        let length = isal::compress_into(
            plain,
            &mut self.room,
            CompressionLevel::One,
            isal::Codec::Gzip,
        )
        .context("ISA-L cannot compress")?;
        members.extend_from_slice(&self.room[..length]);
        Ok(())
    }

    fn small(&mut self, plain: &[u8], members: &mut Vec<u8>) -> anyhow::Result<()> {
        let length = self
            .libdeflate
            .gzip_compress(plain, &mut self.room)
            .context("libdeflate cannot compress")?;
        members.extend_from_slice(&self.room[..length]);
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
    use std::io::Write as _;
    use std::path::Path;

    use super::*;

    /// Bytes that look random and are the same every time.
    fn noise() -> impl Iterator<Item = u8> {
        let mut state = 1u64;
        std::iter::repeat_with(move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u8
        })
    }

    /// Rows as an application's table has them.
    fn records() -> Vec<u8> {
        let mut random = noise();
        let mut next = |below: u8| random.next().map_or(0, |byte| byte % below);
        let mut rows = Vec::new();
        while rows.len() < 4 * BLOCK {
            let symbol = ["AAPL", "MSFT", "NVDA", "GOOG"][usize::from(next(4))];
            rows.extend([9, next(250), next(250), 17, 7, next(250), next(250)]);
            rows.extend_from_slice(symbol.as_bytes());
            for _ in 0..8 {
                rows.extend_from_slice(format!("{:02x}", next(255)).as_bytes());
            }
            let (day, minute) = (next(28) + 1, next(60));
            rows.extend_from_slice(format!("2026-11-{day:02}T03:{minute:02}:00Z").as_bytes());
        }
        rows
    }

    /// What this program is written in, folder by folder.
    fn source_code(folder: &Path, into: &mut Vec<u8>) {
        let mut entries: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder of sources")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        entries.sort();
        for path in entries {
            match path.is_dir() {
                true => source_code(&path, into),
                false => into.extend(std::fs::read(&path).expect("a source file")),
            }
        }
    }

    fn round_trip(deflater: &mut Deflater, plain: &[u8]) -> usize {
        let mut member = Vec::new();
        let mut total = 0;
        for block in plain.chunks(BLOCK) {
            member.clear();
            deflater.compress(block, &mut member).expect("compresses");
            assert_eq!(&member[..4], &[0x1f, 0x8b, 8, 0], "no flags");
            assert_eq!(&member[4..8], &[0; 4], "no time");
            assert!(member.len() <= LONGEST);
            let mut back = vec![0; block.len()];
            Inflater::default()
                .inflate(&member, &mut back)
                .expect("inflates");
            assert!(back == block);
            total += member.len();
        }
        total
    }

    /// The size that `gzip -6` would give.
    fn usual(plain: &[u8]) -> usize {
        let level = flate2::Compression::new(6);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(plain).expect("compresses");
        encoder.finish().expect("finishes").len()
    }

    #[test]
    fn records_are_written_the_fast_way_and_source_code_the_small_way() {
        let records = records();
        let mut deflater = Deflater::new().expect("a deflater");
        let size = round_trip(&mut deflater, &records);
        assert!(deflater.fast);
        assert!(size * 100 < usual(&records) * 115, "{size}");

        let mut code = Vec::new();
        source_code(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src").as_path(),
            &mut code,
        );
        let size = round_trip(&mut deflater, &code[..8 * BLOCK]);
        assert!(deflater.fast, "a choice lasts");
        deflater.choice_lasts = 0;
        let smaller = round_trip(&mut deflater, &code[..8 * BLOCK]);
        assert!(!deflater.fast);
        assert!(smaller * 103 < size * 100, "{smaller} of {size}");
        assert!(smaller * 100 < usual(&code[..8 * BLOCK]) * 115, "{smaller}");
    }

    #[test]
    fn what_fills_more_or_less_than_a_block_is_refused() {
        let plain = records();
        let mut deflater = Deflater::new().expect("a deflater");
        let mut member = Vec::new();
        deflater
            .compress(&plain[..BLOCK], &mut member)
            .expect("compresses");
        for wrong in [BLOCK - 1, BLOCK + 1] {
            let mut back = vec![0; wrong];
            assert!(Inflater::default().inflate(&member, &mut back).is_err());
        }
    }

    #[test]
    fn what_cannot_be_compressed_stays_within_the_bound() {
        let noise: Vec<u8> = noise().take(70 * BLOCK + 1).collect();
        let size = round_trip(&mut Deflater::new().expect("a deflater"), &noise);
        assert!(size < noise.len() + noise.len() / 500);
    }
}
