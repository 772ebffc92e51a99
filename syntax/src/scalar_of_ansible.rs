//! What a plain scalar means to Ansible: YAML 1.1 as PyYAML's safe loader resolves it.

use crate::Yaml;

/// Resolves a plain scalar; what does not fit into 64 bits stays text.
pub(crate) fn resolve(text: &str) -> Yaml {
    let other = || Yaml::Text(text.to_owned());
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Yaml::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Yaml::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Yaml::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Yaml::Float(f64::NAN),
        _ => match text.bytes().next() {
            Some(b'0'..=b'9' | b'-' | b'+' | b'.') => {
                integer(text).or_else(|| float(text)).unwrap_or_else(other)
            }
            _ => other(),
        },
    }
}

/// A text that templates leave as it is.
pub(crate) fn without_templates(text: &str) -> String {
    match text.contains("{{") || text.contains("{%") || text.contains("{#") {
        true => format!("{{% raw %}}{text}{{% endraw %}}"),
        false => text.to_owned(),
    }
}

fn signed(text: &str) -> (i64, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// `0b1`, `0x1f`, `017`, `1_000`, `1:30` (to the base of 60).
fn integer(text: &str) -> Option<Yaml> {
    let (sign, digits) = signed(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let radix = |digits: &str, base: u32| -> Option<i64> {
        let plain: String = digits.chars().filter(|c| *c != '_').collect();
        let fits = plain.chars().all(|c| c.is_digit(base));
        if plain.is_empty() || !fits { None } else { i64::from_str_radix(&plain, base).ok() }
    };
    let value = if let Some(rest) = digits.strip_prefix("0b") {
        radix(rest, 2)?
    } else if let Some(rest) = digits.strip_prefix("0x") {
        radix(rest, 16)?
    } else if digits.contains(':') {
        sexagesimal(digits)?
    } else if digits.starts_with('0') && digits.len() > 1 {
        radix(&digits[1..], 8)?
    } else {
        radix(digits, 10)?
    };
    Some(Yaml::Int(sign * value))
}

/// `[1-9][0-9_]*(:[0-5]?[0-9])+`
fn sexagesimal(digits: &str) -> Option<i64> {
    let mut parts = digits.split(':');
    let first: String = parts.next()?.chars().filter(|c| *c != '_').collect();
    if first.starts_with('0') {
        return None;
    }
    parts.try_fold(first.parse::<i64>().ok()?, |value, part| {
        let fits = matches!(part.len(), 1 | 2) && part.bytes().all(|byte| byte.is_ascii_digit());
        let part: i64 = part.parse().ok().filter(|part| fits && *part < 60)?;
        value.checked_mul(60)?.checked_add(part)
    })
}

/// With a point; an exponent has a sign: `1.5`, `.5`, `6.8e+3`, `-.inf`.
fn float(text: &str) -> Option<Yaml> {
    let (sign, digits) = signed(text);
    let sign = sign as f64;
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Some(Yaml::Float(sign * f64::INFINITY));
    }
    let (number, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let digit = |c: char| c.is_ascii_digit() || c == '_';
    let (whole, fraction) = number.split_once('.')?;
    let good_exponent = exponent.is_none_or(|exponent| {
        exponent
            .strip_prefix(['-', '+'])
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let some = !whole.is_empty() || fraction.starts_with(|c: char| c.is_ascii_digit());
    if !good_exponent || !some || !whole.chars().all(digit) || !fraction.chars().all(digit) {
        return None;
    }
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    plain.parse::<f64>().ok().map(|value| Yaml::Float(sign * value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_of_yaml_1_1() {
        for (text, meaning) in [
            ("yes", "Bool(true)"),
            ("Off", "Bool(false)"),
            ("y", "Text(\"y\")"),
            ("0644", "Int(420)"),
            ("0o644", "Text(\"0o644\")"),
            ("089", "Text(\"089\")"),
            ("1_000", "Int(1000)"),
            ("0b11", "Int(3)"),
            ("-0x1f", "Int(-31)"),
            ("1:30", "Int(90)"),
            ("22:80", "Text(\"22:80\")"),
            ("1e3", "Text(\"1e3\")"),
            ("1.5e+3", "Float(1500.0)"),
            ("1.", "Float(1.0)"),
            (".5", "Float(0.5)"),
            ("1.2.3", "Text(\"1.2.3\")"),
            ("10.0.0.1", "Text(\"10.0.0.1\")"),
            ("99999999999999999999", "Text(\"99999999999999999999\")"),
            ("2026-01-01", "Text(\"2026-01-01\")"),
            ("~", "Null"),
        ] {
            assert_eq!(format!("{:?}", resolve(text)), meaning, "{text}");
        }
    }

    #[test]
    fn unsafe_text_stays_as_it_is() {
        assert_eq!(without_templates("a {{ b }}"), "{% raw %}a {{ b }}{% endraw %}");
        assert_eq!(without_templates("plain"), "plain");
    }
}
