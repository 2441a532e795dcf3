//! Versions and ranges as Node's packages write them, as far as `engines` and a glance at two versions need it.

use std::cmp::Ordering;

/// Major, minor, patch; what stands behind a hyphen makes it a version before that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    before: bool,
}

impl Version {
    /// Reads `v20.1.2`, `1.0.0-rc.1`, `1.0.0+build`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', '=']).trim();
        let text = text.split('+').next()?;
        let (numbers, before) = match text.split_once('-') {
            Some((numbers, _)) => (numbers, true),
            None => (text, false),
        };
        let mut parts = numbers.split('.');
        let mut next = || parts.next()?.parse().ok();
        let numbers = [next()?, next()?, next()?];
        parts.next().is_none().then_some(Self { numbers, before })
    }

    /// The first number.
    pub fn major(&self) -> u64 {
        self.numbers[0]
    }

    /// True when going from here to `other` may break things: the first number that is not zero differs.
    pub fn breaks_until(&self, other: &Self) -> bool {
        let leading = |version: &Self| {
            let zeros = version
                .numbers
                .iter()
                .take_while(|number| **number == 0)
                .count();
            (zeros, version.numbers.get(zeros).copied())
        };
        leading(self) != leading(other)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.numbers, !self.before).cmp(&(other.numbers, !other.before))
    }
}

/// Whether `version` lies in `range`; `None` where the range cannot be read.
pub fn satisfies(version: &Version, range: &str) -> Option<bool> {
    let mut any = false;
    for alternative in range.split("||") {
        any |= in_all(version, alternative)?;
    }
    Some(any)
}

fn in_all(version: &Version, alternative: &str) -> Option<bool> {
    if let Some((from, to)) = alternative.split_once(" - ") {
        let (from, to) = (Partial::parse(from)?, Partial::parse(to)?);
        return Some(version.numbers >= from.first() && version.numbers < to.end());
    }
    // `>= 18` may be written with a blank.
    let mut joined = alternative.trim().to_owned();
    for sign in [">=", "<=", ">", "<", "^", "~", "="] {
        while joined.contains(&format!("{sign} ")) {
            joined = joined.replace(&format!("{sign} "), sign);
        }
    }
    let mut all = true;
    for part in joined.split_whitespace() {
        all &= holds(version, part)?;
    }
    Some(all)
}

fn holds(version: &Version, part: &str) -> Option<bool> {
    let at = part
        .find(|c: char| !"<>=^~".contains(c))
        .unwrap_or(part.len());
    let (sign, rest) = part.split_at(at);
    let bound = Partial::parse(rest)?;
    let here = version.numbers;
    Some(match sign {
        "" | "=" => here >= bound.first() && here < bound.end(),
        ">=" => here >= bound.first(),
        ">" => here >= bound.end(),
        "<" => here < bound.first(),
        "<=" => here < bound.end(),
        "~" | "~>" => here >= bound.first() && here < bound.tilde(),
        "^" => here >= bound.first() && here < bound.caret(),
        _ => return None,
    })
}

/// A version whose last numbers may be missing, or be stars.
struct Partial(Vec<u64>);

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        let text = text.split(['-', '+']).next()?;
        let mut numbers = Vec::new();
        for part in text.split('.') {
            if matches!(part, "" | "x" | "X" | "*") {
                break;
            }
            numbers.push(part.parse().ok()?);
        }
        (numbers.len() <= 3).then_some(Self(numbers))
    }

    fn first(&self) -> [u64; 3] {
        let at = |index: usize| self.0.get(index).copied().unwrap_or(0);
        [at(0), at(1), at(2)]
    }

    /// The first version behind all that begin so.
    fn end(&self) -> [u64; 3] {
        self.raised(self.0.len())
    }

    fn tilde(&self) -> [u64; 3] {
        self.raised(self.0.len().min(2))
    }

    fn caret(&self) -> [u64; 3] {
        let zeros = self.0.iter().take_while(|number| **number == 0).count();
        self.raised((zeros + 1).min(self.0.len()))
    }

    /// One more in the number at `kept`, counted from one; none kept is no end at all.
    fn raised(&self, kept: usize) -> [u64; 3] {
        let mut numbers = [0; 3];
        let Some(last) = kept.checked_sub(1) else {
            return [u64::MAX; 3];
        };
        numbers[..kept].copy_from_slice(&self.0[..kept]);
        numbers[last] = numbers[last].saturating_add(1);
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect("a version")
    }

    #[test]
    fn versions_are_ordered_and_breaks_are_seen() {
        assert!(version("1.10.0") > version("1.9.9"));
        assert!(version("2.0.0-rc.1") < version("2.0.0"));
        for (from, to, breaks) in [
            ("1.2.3", "1.9.0", false),
            ("1.2.3", "2.0.0", true),
            ("0.2.3", "0.2.9", false),
            ("0.2.3", "0.3.0", true),
            ("0.0.3", "0.0.4", true),
        ] {
            assert_eq!(
                version(from).breaks_until(&version(to)),
                breaks,
                "{from} {to}"
            );
        }
        for wrong in ["", "1", "1.2", "a.b.c", "1.2.3.4"] {
            assert_eq!(Version::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_range_is_no_answer() {
        for range in ["latest", "git+ssh://x", ">=a", "^^1"] {
            assert_eq!(satisfies(&version("1.0.0"), range), None, "{range}");
        }
    }
}
