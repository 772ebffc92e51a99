//! Why one task comes before another.

use std::fmt;

/// The reason of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The later task says `needs`.
    Needs,
    /// The earlier task says `restarts`.
    Restarts,
    /// The earlier task says `reloads`.
    Reloads,
    /// The later task's role needs the earlier task's role.
    Role {
        /// The role that is needed.
        needed: String,
        /// The role that needs it.
        by: String,
    },
    /// The earlier task makes the directory or mount that holds what the later one makes.
    Holds(String),
    /// The earlier task makes what the later one uses: `user deploy`, `unit app.service`.
    Uses(String),
    /// The earlier task removes something from within what the later one removes.
    Empties(String),
    /// Packages come from repositories.
    Repository,
    /// The earlier task answers what the later one's package asks: the package.
    Answers(String),
    /// Both work on one thing, in the order written.
    Same(String),
    /// One of them is a command: kept in the order written.
    Command,
    /// Packages before files before services: the two words.
    Class(&'static str, &'static str),
    /// Checks come after the tasks of their role.
    Check,
}

impl Reason {
    /// Strongest first; a weaker edge that contradicts stronger ones gives way.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Needs | Self::Restarts | Self::Reloads => 0,
            Self::Role { .. } => 1,
            Self::Holds(_)
            | Self::Uses(_)
            | Self::Empties(_)
            | Self::Repository
            | Self::Answers(_)
            | Self::Same(_) => 2,
            Self::Command => 3,
            Self::Class(..) => 4,
            Self::Check => 5,
        }
    }

    /// Whether it never gives way.
    #[must_use]
    pub fn strong(&self) -> bool {
        self.rank() <= 1
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needs => f.write_str("needs"),
            Self::Restarts => f.write_str("restarts"),
            Self::Reloads => f.write_str("reloads"),
            Self::Role { needed, by } => write!(f, "role {by} needs role {needed}"),
            Self::Holds(path) => write!(f, "{path} holds it"),
            Self::Uses(thing) => write!(f, "uses {thing}"),
            Self::Empties(path) => write!(f, "{path} is emptied first"),
            Self::Repository => f.write_str("repository before package"),
            Self::Answers(package) => write!(f, "answers what package {package} asks"),
            Self::Same(thing) => write!(f, "both on {thing}, as written"),
            Self::Command => f.write_str("command, as written"),
            Self::Class(first, second) => write!(f, "{first} before {second}"),
            Self::Check => f.write_str("checks come last"),
        }
    }
}
