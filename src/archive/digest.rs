//! Digests of blocks that merge into the standard BLAKE3 of the whole: one parallel pass gives both
//! (the tree of the BLAKE3 paper, §2.1; `blake3::hazmat`).

use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root,
};

use super::BLOCK;

/// The digest of one block: its chaining value in the tree, or the ordinary BLAKE3 where it is the only one.
pub fn block_digest(index: u64, only: bool, plain: &[u8]) -> ChainingValue {
    if only {
        return *blake3::hash(plain).as_bytes();
    }
    blake3::Hasher::new()
        .set_input_offset(index * BLOCK as u64)
        .update(plain)
        .finalize_non_root()
}

/// Merges the digests of all blocks, in order.
#[derive(Default)]
pub struct Tree {
    stack: Vec<ChainingValue>,
    blocks: u64,
}

impl Tree {
    /// Adds the next block. Complete subtrees are merged only now that more input is known to follow: the last merge is the root's.
    pub fn push(&mut self, digest: ChainingValue) {
        while self.stack.len() > self.blocks.count_ones() as usize {
            self.merge_last();
        }
        self.stack.push(digest);
        self.blocks += 1;
    }

    fn merge_last(&mut self) {
        if let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) {
            self.stack
                .push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }

    /// The BLAKE3 of everything; what `b3sum` prints.
    pub fn finish(mut self) -> blake3::Hash {
        while self.stack.len() > 2 {
            self.merge_last();
        }
        match self.stack.as_slice() {
            [left, right] => merge_subtrees_root(left, right, Mode::Hash),
            [only] => blake3::Hash::from_bytes(*only),
            _ => blake3::hash(&[]),
        }
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_digests_are_the_standard_one() {
        let data: Vec<u8> = (0..BLOCK * 9 + 777).map(|i| (i % 251) as u8).collect();
        for blocks in 1..=9 {
            for extra in [0, 1, 777] {
                let plain = &data[..(blocks - 1) * BLOCK + if extra == 0 { BLOCK } else { extra }];
                let mut tree = Tree::default();
                let only = plain.len() <= BLOCK;
                for (index, block) in plain.chunks(BLOCK).enumerate() {
                    tree.push(block_digest(index as u64, only, block));
                }
                assert_eq!(tree.finish(), blake3::hash(plain), "{} bytes", plain.len());
            }
        }
    }
}
