//! Orders version numbers of Debian packages (deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions: epoch, upstream version and revision, digits as numbers, `~` before all else.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (left_epoch, left) = epoch(left);
    let (right_epoch, right) = epoch(right);
    let (left_upstream, left_revision) = revision(left);
    let (right_upstream, right_revision) = revision(right);
    left_epoch
        .cmp(&right_epoch)
        .then_with(|| part(left_upstream.as_bytes(), right_upstream.as_bytes()))
        .then_with(|| part(left_revision.as_bytes(), right_revision.as_bytes()))
}

fn epoch(version: &str) -> (u64, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

fn revision(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

/// dpkg's `verrevcmp`: turns of non-digits and digits.
fn part(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        while starts_with_other(left) || starts_with_other(right) {
            let order = weight(left.first()).cmp(&weight(right.first()));
            if order != Ordering::Equal {
                return order;
            }
            left = left.get(1..).unwrap_or_default();
            right = right.get(1..).unwrap_or_default();
        }
        let left_number = take_number(&mut left);
        let right_number = take_number(&mut right);
        // Without leading zeros a longer number is a larger one; no overflow whatever its length.
        let order = left_number.len().cmp(&right_number.len()).then_with(|| left_number.cmp(right_number));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn starts_with_other(text: &[u8]) -> bool {
    text.first().is_some_and(|byte| !byte.is_ascii_digit())
}

/// `~` sorts before the end, the end and digits before letters, letters before everything else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// Takes the digits in front, without leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().take_while(|&&byte| byte == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of dpkg's own `t-version.c` and of the manual.
    #[test]
    fn versions_are_ordered_as_dpkg_does() {
        let rising = [
            "0~",
            "0",
            "1.0~rc1-1",
            "1.0~rc1-1+b1",
            "1.0",
            "1.0-0.1",
            "1.0-1~bpo12+1",
            "1.0-1",
            "1.0-1+deb12u1",
            "1.0-1+deb12u9",
            "1.0-1+deb12u11",
            "1.0a-1",
            "1.0+git-1",
            "1.2",
            "1.10",
            "99999999999999999999999998",
            "99999999999999999999999999",
            "1:0.1",
            "2:0",
        ];
        for (index, left) in rising.iter().enumerate() {
            for (other, right) in rising.iter().enumerate() {
                assert_eq!(compare(left, right), index.cmp(&other), "{left} and {right}");
            }
        }
        assert_eq!(compare("1.00-0", "1.0"), Ordering::Equal);
        assert_eq!(compare("0:1.0", "1.0"), Ordering::Equal);
    }
}
