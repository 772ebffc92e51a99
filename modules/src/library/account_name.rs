//! Names of users and groups, as parameters.

use cm_wire::Value;

use crate::{Kind, Param};

/// Longest name that useradd(8) takes.
const LONGEST: usize = 32;

/// The name of an account that is to be made or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName(pub String);

impl Param for AccountName {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let name = String::read(value)?;
        let problem = if name.is_empty() {
            "is empty".to_owned()
        } else if name.len() > LONGEST {
            format!("is longer than {LONGEST} bytes")
        } else if name.starts_with(['-', '+', '~']) {
            "cannot begin with that".to_owned()
        } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
            "is a number; tools would take it for an id".to_owned()
        } else if let Some(bad) =
            name.chars().find(|&c| c.is_whitespace() || c.is_control() || ":,/\\\"'`".contains(c))
        {
            format!("cannot hold {bad:?}")
        } else {
            return Ok(Self(name));
        };
        Err(format!("{name:?} {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_damage_the_files_are_refused() {
        for good in ["anna", "www-data", "_apt", "Debian-exim", "a.b", "machine$"] {
            assert!(AccountName::read(&good.into()).is_ok(), "{good}");
        }
        for bad in ["", "a:b", "a b", "a\nb", "-r", "0", "a,b", "../x", "abcdefghijklmnopqrstuvwxyz0123456"] {
            assert!(AccountName::read(&bad.into()).is_err(), "{bad}");
        }
    }
}
