//! The formats of a drawing and their names.

use std::{fmt, str::FromStr};

/// What a drawing is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// For graphviz.
    Dot,
    /// A mermaid flowchart, which wikis and forges show in markdown.
    Mermaid,
    /// A picture, laid out here.
    Svg,
}

/// A name that is no format's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown drawing format `{name}`; it is one of dot, mermaid, svg")]
pub struct UnknownFormat {
    /// What was given.
    pub name: String,
}

impl Format {
    /// All of them, in the order a help text lists them.
    pub const ALL: [Self; 3] = [Self::Dot, Self::Mermaid, Self::Svg];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dot => "dot",
            Self::Mermaid => "mermaid",
            Self::Svg => "svg",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownFormat { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_formats_and_back() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("SVG".parse(), Ok(Format::Svg));
        let error = "png".parse::<Format>().unwrap_err();
        assert_eq!(error.to_string(), "unknown drawing format `png`; it is one of dot, mermaid, svg");
    }
}
