//! The most frequent of many names, in fixed memory: a million addresses need no more than fifty thousand do. When the table is
//! full, every count is lowered by the same amount and what falls to nothing is forgotten (Misra and Gries). So a count is never
//! too high, and never too low by more than [`Table::lowered`].

use std::hash::{BuildHasher as _, RandomState};

/// Longer names are told by their beginning.
const LONGEST: usize = 240;

/// What is counted for a name.
pub trait Counts: Default + Clone {
    /// What decides how frequent it is.
    fn weight(&self) -> u64;
    /// Adds those of another table.
    fn add(&mut self, other: &Self);
}

/// One name.
pub struct Row<C> {
    hash: u64,
    /// How much was taken off so far.
    taken: u64,
    /// The name.
    pub name: Box<[u8]>,
    /// What was counted since it is in the table.
    pub counts: C,
}

/// See above.
pub struct Table<C> {
    rows: Vec<Row<C>>,
    slots: Vec<u32>,
    most: usize,
    seed: u64,
    lowered: u64,
}

impl<C: Counts> Table<C> {
    /// Room for so many names.
    pub fn new(most: usize) -> Self {
        Self {
            rows: Vec::new(),
            slots: vec![0; (most * 2).next_power_of_two().max(16)],
            most: most.max(2),
            // Names come from outside: nobody may choose them so that they fall on one place.
            seed: RandomState::new().hash_one(0u8),
            lowered: 0,
        }
    }

    /// How much any count may be too low; 0 as long as everything had room.
    pub fn lowered(&self) -> u64 {
        self.lowered
    }

    /// How many names there are; where some were forgotten there were more.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The counts of a name, and true where it is new.
    #[inline]
    pub fn entry(&mut self, name: &[u8]) -> (&mut C, bool) {
        let name = &name[..name.len().min(LONGEST)];
        let hash = hash(name, self.seed);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at] as usize;
            if slot == 0 {
                return (self.insert(name, hash, at), true);
            }
            // Sixty-four bits under a seed that nobody knows are the name, as good as: reading the name itself would be one more
            // wait for memory on every line.
            if self.rows[slot - 1].hash == hash {
                return (&mut self.rows[slot - 1].counts, false);
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn insert(&mut self, name: &[u8], hash: u64, mut at: usize) -> &mut C {
        if self.rows.len() >= self.most {
            self.lower();
            at = self.free(hash);
        }
        self.rows.push(Row {
            hash,
            taken: 0,
            name: name.into(),
            counts: C::default(),
        });
        let number = self.rows.len();
        self.slots[at] = u32::try_from(number).unwrap_or(u32::MAX);
        &mut self.rows[number - 1].counts
    }

    fn free(&self, hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        at
    }

    /// Takes so much off every count that at least half of the rows go.
    fn lower(&mut self) {
        let mut left: Vec<u64> = self.rows.iter().map(Row::left).collect();
        let middle = left.len() / 2;
        let (_, amount, _) = left.select_nth_unstable(middle);
        let amount = (*amount).max(1);
        self.lowered += amount;
        self.rows.retain_mut(|row| {
            row.taken += amount;
            row.counts.weight() > row.taken
        });
        self.slots.fill(0);
        for at in 0..self.rows.len() {
            let place = self.free(self.rows[at].hash);
            self.slots[place] = u32::try_from(at + 1).unwrap_or(u32::MAX);
        }
    }

    /// Adds another table; what both may be too low by adds up.
    pub fn merge(&mut self, other: Self) {
        self.lowered += other.lowered;
        for row in other.rows {
            self.entry(&row.name).0.add(&row.counts);
        }
    }

    /// All rows, the most frequent first.
    pub fn into_rows(self) -> Vec<Row<C>> {
        let mut rows = self.rows;
        rows.sort_by(|one, other| {
            (other.counts.weight(), &one.name).cmp(&(one.counts.weight(), &other.name))
        });
        rows
    }
}

impl<C: Counts> Row<C> {
    fn left(&self) -> u64 {
        self.counts.weight().saturating_sub(self.taken)
    }
}

/// Eight bytes at a time, multiplied and folded.
#[inline]
fn hash(name: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = seed ^ (name.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = name.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), FACTOR);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(state ^ u64::from_le_bytes(last), seed | 1)
}

#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[derive(Clone, Default)]
    struct One(u64);
    impl Counts for One {
        fn weight(&self) -> u64 {
            self.0
        }
        fn add(&mut self, other: &Self) {
            self.0 += other.0;
        }
    }

    #[test]
    fn what_has_room_is_counted_exactly() {
        let mut table = Table::<One>::new(100);
        for number in 0..1000 {
            table.entry(format!("name {}", number % 100).as_bytes()).0.0 += 1;
        }
        assert_eq!((table.len(), table.lowered()), (100, 0));
        assert!(table.into_rows().iter().all(|row| row.counts.0 == 10));
    }

    /// Many names that come once, and some that come often: memory stays, and the error is what is said.
    #[test]
    fn a_full_table_keeps_the_frequent_and_knows_its_error() {
        let mut tables = [Table::<One>::new(1000), Table::<One>::new(1000)];
        let mut true_counts: HashMap<String, u64> = HashMap::new();
        let mut state = 7u64;
        for number in 0..300_000u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let name = match number % 3 {
                0 => format!("often {}", (state >> 33) % 20),
                _ => format!("once {number}"),
            };
            tables[(number % 2) as usize].entry(name.as_bytes()).0.0 += 1;
            *true_counts.entry(name).or_default() += 1;
        }
        let [mut table, other] = tables;
        table.merge(other);
        assert!(table.len() <= 1000);
        let error = table.lowered();
        assert!(error > 0 && error < 2000, "{error}");
        let rows = table.into_rows();
        for row in &rows {
            let name = String::from_utf8(row.name.to_vec()).expect("text");
            let exact = true_counts[&name];
            assert!(
                row.counts.0 <= exact && row.counts.0 + error >= exact,
                "{name}"
            );
        }
        for row in &rows[..20] {
            assert!(row.name.starts_with(b"often"));
        }
    }
}
