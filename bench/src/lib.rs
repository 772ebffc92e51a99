//! The benchmark: `cm` measured against the wire and against its peers, each figure a ratio in one run.
//!
//! `cargo xtask bench` builds and runs it. A section ([`section::Section`]) measures and returns
//! [`findings::Findings`]; everything else here prints, keeps and draws them.
#![expect(clippy::print_stderr, reason = "a program for a terminal, split only for its tests")]

pub mod args;
pub mod findings;
pub mod flame;
pub mod ground;
pub mod measure;
pub mod page;
pub mod peers;
pub mod perf;
pub mod planned;
pub mod plot;
pub mod role;
pub mod section;
pub mod sections;
pub mod stacks;
pub mod table;
pub mod with_symbols;
