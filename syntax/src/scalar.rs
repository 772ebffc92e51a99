//! What a plain scalar means by the core schema of YAML 1.2 (specification, section 10.3.2).

use crate::Yaml;

/// A number that cannot be held.
pub(crate) struct TooLarge;

/// Resolves a plain scalar.
pub(crate) fn resolve(text: &str) -> Result<Yaml, TooLarge> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Yaml::Null,
        "true" | "True" | "TRUE" => Yaml::Bool(true),
        "false" | "False" | "FALSE" => Yaml::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Yaml::Float(f64::NAN),
        _ => match text.bytes().next() {
            Some(b'0'..=b'9' | b'-' | b'+' | b'.') => {
                number(text)?.unwrap_or_else(|| Yaml::Text(text.to_owned()))
            }
            _ => Yaml::Text(text.to_owned()),
        },
    })
}

/// Resolves a number; `None` when it is not one.
pub(crate) fn number(text: &str) -> Result<Option<Yaml>, TooLarge> {
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
        return Ok(Some(Yaml::Float(sign * f64::INFINITY)));
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(|value| Some(Yaml::Int(value))).map_err(|_| TooLarge);
    }
    if !is_float(unsigned) {
        return Ok(None);
    }
    // Rust reads all the schema allows here: `1.`, `.5`, `1e3`, a leading sign.
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(Yaml::Float(value))),
        _ => Err(TooLarge),
    }
}

fn radix(digits: &str, base: u32) -> Result<Option<Yaml>, TooLarge> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Ok(None);
    }
    i64::from_str_radix(digits, base).map(|value| Some(Yaml::Int(value))).map_err(|_| TooLarge)
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if whole == 0 && count == 0 {
            return false;
        }
        rest = &fraction[count..];
    } else if whole == 0 {
        return false;
    }
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match resolve(text) {
            Ok(value) => format!("{value:?}"),
            Err(TooLarge) => "too large".into(),
        }
    }

    #[test]
    fn core_schema() {
        for (text, meaning) in [
            ("", "Null"),
            ("~", "Null"),
            ("yes", "Text(\"yes\")"),
            ("off", "Text(\"off\")"),
            ("True", "Bool(true)"),
            ("0644", "Int(644)"),
            ("0o17", "Int(15)"),
            ("0xff", "Int(255)"),
            ("0o18", "Text(\"0o18\")"),
            ("-12", "Int(-12)"),
            ("1_000", "Text(\"1_000\")"),
            ("1.10", "Float(1.1)"),
            (".5", "Float(0.5)"),
            ("1e3", "Float(1000.0)"),
            ("1.", "Float(1.0)"),
            (".", "Text(\".\")"),
            ("-", "Text(\"-\")"),
            ("1.2.3", "Text(\"1.2.3\")"),
            ("12:30", "Text(\"12:30\")"),
            ("-.inf", "Float(-inf)"),
            ("2026-01-01", "Text(\"2026-01-01\")"),
            ("inf", "Text(\"inf\")"),
            ("9223372036854775807", "Int(9223372036854775807)"),
            ("9223372036854775808", "too large"),
            ("1e999", "too large"),
        ] {
            assert_eq!(shown(text), meaning, "{text}");
        }
    }
}
