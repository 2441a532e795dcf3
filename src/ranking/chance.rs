//! Is a drop more than chance? The paired randomisation test (Fisher): if nothing had changed, each query's two scores could as well
//! be swapped. Nothing is supposed about how scores are distributed.

/// With so many differing queries at most, all ways to swap are tried; with more, so many of them at random, from one seed.
const ALL: usize = 14;
const TRIALS: u32 = 20_000;
const SEED: u64 = 0x5EED_0F8A_9D5E_11A1;

/// How likely a drop at least as large as that from `before` to `now`, query by query, would be by chance. 1 where there is none.
pub fn chance_of_drop(before: &[f64], now: &[f64]) -> f64 {
    let differences: Vec<f64> = before
        .iter()
        .zip(now)
        .map(|(before, now)| before - now)
        .filter(|difference| *difference != 0.0)
        .collect();
    let drop: f64 = differences.iter().sum();
    if drop <= 0.0 {
        return 1.0;
    }
    // Sums in another order differ in their last digits.
    let as_large = |sum: f64| sum >= drop - 1e-9;
    if differences.len() <= ALL {
        let ways = 1u32 << differences.len();
        let swapped = |way: u32| -> f64 {
            (0..)
                .zip(&differences)
                .map(|(at, one)| if way >> at & 1 == 1 { -one } else { *one })
                .sum()
        };
        let large = (0..ways).filter(|&way| as_large(swapped(way))).count();
        return large as f64 / f64::from(ways);
    }
    let mut random = SEED;
    let mut large = 0u32;
    for _ in 0..TRIALS {
        let mut sum = 0.0;
        for piece in differences.chunks(64) {
            let mut bits = next(&mut random);
            for one in piece {
                sum += if bits & 1 == 1 { -one } else { *one };
                bits >>= 1;
            }
        }
        large += u32::from(as_large(sum));
    }
    f64::from(large + 1) / f64::from(TRIALS + 1)
}

/// splitmix64
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_are_counted() {
        // Five queries that all lost: one way of 32.
        assert_eq!(chance_of_drop(&[1.0; 5], &[0.5; 5]), 1.0 / 32.0);
        assert_eq!(chance_of_drop(&[1.0; 5], &[1.0; 5]), 1.0);
        assert_eq!(chance_of_drop(&[0.0; 5], &[1.0; 5]), 1.0);
        // One of two that differ: half of the ways.
        assert_eq!(chance_of_drop(&[1.0, 0.2, 0.3], &[0.0, 0.2, 0.3]), 0.5);
    }

    #[test]
    fn many_queries_are_tried_at_random_and_agree_with_the_normal_distribution() {
        // 100 queries of which 60 lost and 40 won as much: z = 2 with one tail, 0.028 with the correction for whole numbers.
        let before = vec![0.5; 100];
        let now: Vec<f64> = (0..100).map(|at| if at < 60 { 0.4 } else { 0.6 }).collect();
        let chance = chance_of_drop(&before, &now);
        assert!((chance - 0.0284).abs() < 0.006, "{chance}");
        assert_eq!(chance, chance_of_drop(&before, &now));
        let all_lost = chance_of_drop(&before, &[0.4; 100]);
        assert!(all_lost < 0.0001, "{all_lost}");
    }

    /// Where nothing changed but noise, it is rarely called a drop.
    #[test]
    fn noise_is_seldom_taken_for_a_drop() {
        let mut random = 7;
        let mut uniform = || (next(&mut random) >> 11) as f64 / (1u64 << 53) as f64;
        let false_alarms = (0..200)
            .filter(|_| {
                let before: Vec<f64> = (0..30).map(|_| uniform()).collect();
                let now: Vec<f64> = (0..30).map(|_| uniform()).collect();
                chance_of_drop(&before, &now) < 0.05
            })
            .count();
        // 5% of 200 are 10; more than 22 come once in 5000 times.
        assert!(false_alarms <= 22, "{false_alarms}");
    }
}
