//! What the command line says of how a rollout goes; stronger than the roles.

use std::{str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use cm_plan::RolloutOverrides;
use cm_rollout::{OnFailure, Promote, Size};

#[derive(Args, Debug, Clone, Default)]
pub struct StrategyArguments {
    /// Sizes of batches: 1,10%,50%,100% (totals, where one is 100%), or one size that repeats.
    #[arg(long, value_name = "SIZE", value_delimiter = ',', value_parser = Size::from_str)]
    batch: Vec<Size>,
    /// Nodes that may be out of service at once: a number or a percentage.
    #[arg(long, value_name = "SIZE", value_parser = Size::from_str)]
    max_unavailable: Option<Size>,
    /// Keep as many in work as may be, instead of waiting for the slowest of a batch.
    #[arg(long)]
    window: bool,
    /// What comes after the first batch, the canary.
    #[arg(long, value_enum, value_name = "WHO")]
    promote: Option<PromoteWord>,
    /// A variable or expression that tells a host's failure domain, such as rack: never two domains at once.
    #[arg(long, value_name = "EXPRESSION")]
    pub spread: Option<String>,
    /// Domains that may have nodes in work at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_domains: Option<u32>,
    /// Nodes of one domain that may be out of service at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_domain: Option<u32>,
    /// The order of nodes: given, random, or an expression to sort by.
    #[arg(long, value_name = "ORDER")]
    pub order: Option<String>,
    /// A node must stay healthy for so long.
    #[arg(long, value_name = "TIME", value_parser = crate::options::parse_time)]
    min_healthy_time: Option<Duration>,
    /// A node must become healthy within this time after its apply.
    #[arg(long, value_name = "TIME", value_parser = crate::options::parse_time)]
    healthy_deadline: Option<Duration>,
    /// Something must become done within this time.
    #[arg(long, value_name = "TIME", value_parser = crate::options::parse_time)]
    progress_deadline: Option<Duration>,
    /// Nodes that may fail: a number or a percentage.
    #[arg(long, value_name = "SIZE", value_parser = Size::from_str)]
    max_failures: Option<Size>,
    /// What is done when more fail.
    #[arg(long, value_enum, value_name = "WHAT")]
    on_failure: Option<OnFailureWord>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PromoteWord {
    Auto,
    Manual,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnFailureWord {
    Pause,
    Abort,
    Rollback,
}

impl StrategyArguments {
    /// As the planner takes it.
    pub fn overrides(&self) -> RolloutOverrides {
        // Bounded by the parser.
        let count = |number: Option<u32>| number.map(|number| number as usize);
        RolloutOverrides {
            batches: (!self.batch.is_empty()).then(|| self.batch.clone()),
            max_unavailable: self.max_unavailable,
            window: self.window,
            promote: self.promote.map(|word| match word {
                PromoteWord::Auto => Promote::Auto,
                PromoteWord::Manual => Promote::Manual,
            }),
            spread: self.spread.clone(),
            max_domains: count(self.max_domains),
            per_domain: count(self.per_domain),
            order: self.order.clone(),
            min_healthy_time: self.min_healthy_time,
            healthy_deadline: self.healthy_deadline,
            progress_deadline: self.progress_deadline,
            max_failures: self.max_failures,
            on_failure: self.on_failure.map(|word| match word {
                OnFailureWord::Pause => OnFailure::Pause,
                OnFailureWord::Abort => OnFailure::Abort,
                OnFailureWord::Rollback => OnFailure::RollBack,
            }),
            seed: std::process::id().into(),
        }
    }
}
