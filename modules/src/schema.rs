//! What a module takes: its name, its subject and its parameters, readable by the role compiler.

use std::collections::BTreeMap;

use cm_wire::Value;

use crate::{Kind, Param, custom::Custom};

/// Rendered parameters by name, the subject among them.
pub type Params = BTreeMap<String, Value>;

/// The parameters of one module.
#[derive(Debug)]
pub struct Schema {
    /// The key a task uses: `file`.
    pub name: &'static str,
    /// What it manages, one paragraph.
    pub doc: &'static str,
    /// The parameter that the module's key holds: `path` for `file: /etc/motd`.
    pub subject: ParamSchema,
    /// The other parameters, in the order of the documentation.
    pub params: &'static [ParamSchema],
    /// What a module of the user's repository is beyond that; none: it is built in.
    pub custom: Option<&'static Custom>,
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub struct ParamSchema {
    /// Its key.
    pub name: &'static str,
    /// What may be written.
    pub kind: Kind,
    /// Whether it must be given.
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
}

impl Schema {
    /// The parameter of this name; not the subject.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&ParamSchema> {
        self.params.iter().find(|param| param.name == name)
    }

    /// The parameters that every task has beside those that are written: what others are added to.
    #[must_use]
    pub fn constants(&self) -> Params {
        self.custom.map(|custom| custom.constants.clone()).unwrap_or_default()
    }

    /// The schema of a module of the user's repository.
    #[must_use]
    pub fn of_custom(
        doc: &'static str,
        subject: ParamSchema,
        params: &'static [ParamSchema],
        custom: &'static Custom,
    ) -> Self {
        Self { name: &custom.declaration.name, doc, subject, params, custom: Some(custom) }
    }
}

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{param}` {message}")]
pub struct ParamError {
    /// Its key; the subject's name for the subject.
    pub param: String,
    /// What is wrong, a fragment.
    pub message: String,
}

impl ParamError {
    /// An error at one parameter.
    pub fn new(param: &str, message: impl Into<String>) -> Self {
        Self { param: param.to_owned(), message: message.into() }
    }
}

/// Reads one parameter out of the map; for the [`crate::params!`] macro.
///
/// # Errors
/// When it is of the wrong type, or missing where `T` wants a value.
pub fn read_param<T: Param>(
    params: &Params,
    name: &str,
    default: Option<fn() -> T>,
) -> Result<T, ParamError> {
    match (params.get(name), default) {
        (Some(value), _) => T::read(value).map_err(|message| ParamError::new(name, message)),
        (None, Some(default)) => Ok(default()),
        (None, None) => T::read(&Value::Null)
            .map_err(|_| ParamError::new(name, format!("is required ({})", T::KIND.wanted()))),
    }
}

/// Declares a module's parameters once: the struct, its schema and its reader.
///
/// ```
/// use cm_modules::{AbsolutePath, FileMode, Int, params};
/// params! {
///     /// A directory.
///     pub struct Directory = "directory" {
///         /// Where it is.
///         subject path: AbsolutePath,
///         /// Its mode.
///         mode: Option<FileMode>,
///         /// With its parents.
///         parents: bool = false,
///     }
/// }
/// assert_eq!(Directory::SCHEMA.params[1].name, "parents");
/// ```
///
/// `Option<T>` may be left out; `= expression` gives a default; anything else is required.
#[macro_export]
macro_rules! params {
    (
        $(#[doc = $doc:expr])*
        $vis:vis struct $name:ident = $module:literal {
            $(#[doc = $sdoc:expr])*
            subject $subject:ident: $stype:ty,
            $($(#[doc = $pdoc:expr])* $param:ident: $ptype:ty $(= $default:expr)?),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $(#[doc = $sdoc])* pub $subject: $stype,
            $($(#[doc = $pdoc])* pub $param: $ptype,)*
        }

        impl $name {
            /// What a user may write.
            pub const SCHEMA: $crate::Schema = $crate::Schema {
                name: $module,
                doc: $crate::reference(concat!($($doc, "\n"),*)),
                subject: $crate::ParamSchema {
                    name: $crate::params!(@key $subject),
                    kind: <$stype as $crate::Param>::KIND,
                    required: true,
                    doc: $crate::reference(concat!($($sdoc, "\n"),*)),
                },
                params: &[$($crate::ParamSchema {
                    name: $crate::params!(@key $param),
                    kind: <$ptype as $crate::Param>::KIND,
                    required: $crate::params!(@required $ptype $(, $default)?),
                    doc: $crate::reference(concat!($($pdoc, "\n"),*)),
                }),*],
                custom: None,
            };

            /// Reads rendered parameters.
            ///
            /// # Errors
            /// The first parameter that is missing or of the wrong type.
            pub fn from_params(params: &$crate::Params) -> Result<Self, $crate::ParamError> {
                Ok(Self {
                    $subject: $crate::read_param(params, $crate::params!(@key $subject), None)?,
                    $($param: $crate::read_param(params, $crate::params!(@key $param), $crate::params!(@default $ptype $(, $default)?))?,)*
                })
            }
        }
    };
    (@default $ptype:ty, $default:expr) => { Some((|| $default) as fn() -> $ptype) };
    (@default $ptype:ty) => { None };
    (@required $ptype:ty, $default:expr) => { false };
    (@required $ptype:ty) => { $crate::is_required(stringify!($ptype)) };
    (@key $param:ident) => { $crate::key(stringify!($param)) };
}

/// The text of the reference, for the [`crate::params!`] macro: empty in the agent, which shows it to nobody.
#[must_use]
pub const fn reference(text: &'static str) -> &'static str {
    if cfg!(any(test, feature = "reference")) { text } else { "" }
}

/// Whether a parameter of this type must be given: only `Option` may be left out.
#[must_use]
pub const fn is_required(type_name: &str) -> bool {
    !starts_with(type_name.as_bytes(), b"Option")
}

/// The key of a field: raw identifiers (`r#unless`) lose their mark.
#[must_use]
pub const fn key(field: &'static str) -> &'static str {
    if starts_with(field.as_bytes(), b"r#") { field.split_at(2).1 } else { field }
}

const fn starts_with(text: &[u8], start: &[u8]) -> bool {
    if text.len() < start.len() {
        return false;
    }
    let mut index = 0;
    while index < start.len() {
        if text[index] != start[index] {
            return false;
        }
        index += 1;
    }
    true
}
