//! Names of runs: sortable by time, short enough to type.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    str::FromStr,
};

use serde::{Serialize, Serializer};

use super::Timestamp;

/// Digits and lower-case letters that nobody confuses (Crockford), in ASCII order: ids sort as
/// their suffixes do.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX: usize = 3;
const LONGEST_SUFFIX: usize = 12;

/// The name of a run, such as `20261122-171530-k3f`: date and time in UTC, then a suffix whose
/// first letter counts 32nds of the second and whose others are random.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes after the last dash: unique enough to type.
    #[must_use]
    pub fn suffix(&self) -> &str {
        self.0.rsplit('-').next().unwrap_or(&self.0)
    }

    /// A name for a run that starts now; `newest` is the newest run there is. The name sorts after that one
    /// even where the clock was set back: then it is of the second after it.
    pub(crate) fn new(started: Timestamp, newest: Option<&Self>) -> Self {
        // The keys of a `RandomState` are the standard library's only source of randomness.
        let entropy = RandomState::new().hash_one(started.as_micros());
        let fresh = Self::compose(started, entropy);
        match newest {
            Some(newest) if newest >= &fresh => match newest.second() {
                Some(second) if newest.0[..15] != fresh.0[..15] => {
                    Self::compose(second.plus_micros(1_000_000), entropy)
                }
                _ => newest.successor(),
            },
            _ => fresh,
        }
    }

    fn compose(started: Timestamp, entropy: u64) -> Self {
        let time = started.civil();
        let letter = |bits: u64| char::from(ALPHABET[(bits % 32) as usize]);
        let fraction = (time.micros * 32 / 1_000_000).unsigned_abs();
        Self(format!(
            "{:04}{:02}{:02}-{:02}{:02}{:02}-{}{}{}",
            time.year.clamp(0, 9999),
            time.month,
            time.day,
            time.hour,
            time.minute,
            time.second,
            letter(fraction),
            letter(entropy),
            letter(entropy >> 5),
        ))
    }

    /// The second that the name tells.
    fn second(&self) -> Option<Timestamp> {
        let number = |range: std::ops::Range<usize>| self.0.get(range)?.parse().ok();
        let (date, time) = (
            [number(0..4)?, number(4..6)?, number(6..8)?],
            [number(9..11)?, number(11..13)?, number(13..15)?],
        );
        Some(Timestamp::from_civil(date, time))
    }

    /// The next id in order within the same second.
    fn successor(&self) -> Self {
        let mut bytes = self.0.clone().into_bytes();
        let last = bytes.len() - 1;
        match ALPHABET.iter().position(|letter| *letter == bytes[last]) {
            Some(position) if position + 1 < ALPHABET.len() => bytes[last] = ALPHABET[position + 1],
            _ => bytes.push(ALPHABET[0]),
        }
        Self(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The text does not have the shape of a run's id.
#[derive(Debug, thiserror::Error)]
#[error("a run's id looks like 20261122-171530-k3f")]
pub struct ParseRunIdError;

impl FromStr for RunId {
    type Err = ParseRunIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
        let shaped = (16 + SUFFIX..=16 + LONGEST_SUFFIX).contains(&bytes.len())
            && digits(0..8)
            && bytes[8] == b'-'
            && digits(9..15)
            && bytes[15] == b'-'
            && bytes[16..].iter().all(|letter| ALPHABET.contains(letter));
        if shaped { Ok(Self(text.to_owned())) } else { Err(ParseRunIdError) }
    }
}

#[cfg(test)]
mod tests {
    use super::{RunId, Timestamp};

    const NOON: i64 = 1_795_367_730_000_000;

    #[test]
    fn later_runs_sort_after_earlier_ones_even_in_one_second() {
        let mut newest: Option<RunId> = None;
        for step in 0..500 {
            // 500 runs at one and the same moment, then on with the clock.
            let started = Timestamp::from_micros(NOON + i64::from(step > 250) * i64::from(step) * 40_000);
            let id = RunId::new(started, newest.as_ref());
            assert_eq!(id.as_str().parse::<RunId>().unwrap(), id);
            assert!(newest.as_ref().is_none_or(|newest| newest < &id), "{newest:?} then {id}");
            newest = Some(id);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_disturb_the_order() {
        let ahead = RunId::new(Timestamp::from_micros(NOON + 3 * 86_400_000_000), None);
        let mut newest = ahead.clone();
        for step in 0..200 {
            let id = RunId::new(Timestamp::from_micros(NOON + step * 1_000), Some(&newest));
            assert!(newest < id && id.as_str().len() == 19, "{newest:?} then {id}");
            newest = id;
        }
        assert!(newest.as_str().starts_with("20261125-171850-"), "{newest}");
        let later = RunId::new(Timestamp::from_micros(NOON + 4 * 86_400_000_000), Some(&newest));
        assert!(later.as_str().starts_with("20261126-171530-"), "{later}");
    }

    #[test]
    fn the_name_tells_the_time() {
        let id = RunId::compose(Timestamp::from_micros(NOON + 999_999), 0);
        assert_eq!(id.as_str(), "20261122-171530-z00");
        assert_eq!(id.suffix(), "z00");
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "last",
            "20261122-171530-",
            "20261122-171530-k3",
            "20261122-171530-K3F",
            "2026112-2171530-k3f",
        ] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
