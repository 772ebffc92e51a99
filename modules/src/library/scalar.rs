//! Values that files and kernels take as text, though users write many of them as numbers.

use cm_wire::Value;

use crate::{Kind, Param};

/// A text, or a number that is written as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar(pub String);

impl Param for Scalar {
    const KIND: Kind = Kind::Any;
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(Self(text.clone())),
            Value::Int(number) => Ok(Self(number.to_string())),
            Value::Float(number) => Ok(Self(number.to_string())),
            Value::Bool(flag) => Err(format!(
                "wants a string or a number, not {flag}; quote it the way the program reads it: \"{flag}\""
            )),
            other => Err(format!("wants a string or a number, not {}", other.kind())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_texts_and_booleans_must_be_quoted() {
        assert_eq!(Scalar::read(&Value::Int(-1)), Ok(Scalar("-1".into())));
        assert_eq!(Scalar::read(&Value::Float(0.5)), Ok(Scalar("0.5".into())));
        assert_eq!(Scalar::read(&"on".into()), Ok(Scalar("on".into())));
        assert!(Scalar::read(&Value::Bool(true)).unwrap_err().ends_with(": \"true\""));
        assert!(Scalar::read(&Value::Null).is_err());
    }
}
