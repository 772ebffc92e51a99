//! The words for states, as in `--json`.

use std::{fmt, str::FromStr};

use super::{HostState, Lifecycle, RunMode, RunState, TaskOutcome};

/// A word that is none of those known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is none of {}", known.join(", "))]
pub struct UnknownName {
    /// The word.
    pub given: String,
    /// Those known.
    pub known: &'static [&'static str],
}

macro_rules! names {
    ($type:ident { $($variant:ident: $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every word there is for one of these.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Its word, as in `--json`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(UnknownName { given: text.to_owned(), known: Self::NAMES }),
                }
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

names!(RunMode {
    Plan: "plan",
    Apply: "apply",
    Verify: "verify",
    Run: "run",
    Rollback: "rollback",
    Cleanup: "cleanup",
});
names!(RunState {
    Running: "running",
    Ok: "ok",
    Changed: "changed",
    Failed: "failed",
    Interrupted: "interrupted",
    Aborted: "aborted",
});
names!(HostState {
    Ok: "ok",
    Changed: "changed",
    Failed: "failed",
    Unreachable: "unreachable",
    Interrupted: "interrupted",
    Skipped: "skipped",
    Unfinished: "unfinished",
});
names!(TaskOutcome {
    Ok: "ok",
    Changed: "changed",
    Failed: "failed",
    Skipped: "skipped",
    Unknown: "unknown",
    Cancelled: "cancelled",
});
names!(Lifecycle {
    Discovered: "discovered",
    Commissioning: "commissioning",
    Commissioned: "commissioned",
    Cordoned: "cordoned",
    Decommissioning: "decommissioning",
    Decommissioned: "decommissioned",
});

#[cfg(test)]
mod tests {
    use super::{Lifecycle, RunState};

    #[test]
    fn words_come_back() {
        assert_eq!("cordoned".parse(), Ok(Lifecycle::Cordoned));
        assert_eq!(format!("{:<9}|", RunState::Ok), "ok       |");
        let error = "retired".parse::<Lifecycle>().unwrap_err();
        assert!(error.to_string().starts_with("`retired` is none of discovered, commissioning,"), "{error}");
    }
}
