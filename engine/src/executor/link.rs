//! A connection to a host with its agent started on it.

use std::{sync::Arc, time::Duration};

use cm_transport::Connection;
use cm_wire::Facts;

use super::trouble::{REACH, chain, told};
use crate::{
    Trouble,
    dispatcher::Shared,
    session::{self, FromNode, Start, ToNode},
    target::{HostTarget, Reach},
};

/// A link that no longer answers must not hold up the end of a run.
const CLOSING: Duration = Duration::from_secs(2);

/// A connection with an agent.
pub(super) struct Link {
    connection: Connection,
    /// Speaks to the agent; none: it could not take what was sent.
    pub to: Option<ToNode>,
    /// Hears it.
    pub from: FromNode,
    /// The node's facts.
    pub facts: Arc<Facts>,
    /// Bytes of the agent's program that had to be sent.
    pub sent: usize,
    /// The host key's fingerprint, where there is one.
    pub host_key: Option<String>,
}

impl Link {
    /// Connects to a host and starts the agent there.
    pub async fn open(target: &HostTarget, shared: &Shared) -> Result<Self, Trouble> {
        Self::over(connect(target, shared).await?, target, shared).await
    }

    /// Starts the agent over a connection.
    pub async fn over(
        mut connection: Connection,
        target: &HostTarget,
        shared: &Shared,
    ) -> Result<Self, Trouble> {
        let host_key = connection.host_key_fingerprint().map(str::to_owned);
        let how = Start {
            programs: &shared.programs,
            rights: target.rights,
            password: target.become_password.as_ref(),
        };
        let started = session::start(&mut connection, &how).await.map_err(|error| told(&error))?;
        Ok(Self {
            connection,
            to: Some(started.to),
            from: started.from,
            facts: Arc::from(started.facts),
            sent: started.sent,
            host_key,
        })
    }

    /// Says good-bye.
    pub async fn close(self) {
        let good_bye = async {
            if let Some(to) = self.to {
                to.close().await;
            }
            self.connection.close().await;
        };
        let _ = tokio::time::timeout(CLOSING, good_bye).await;
    }
}

/// Connects to a host.
pub(super) async fn connect(target: &HostTarget, shared: &Shared) -> Result<Connection, Trouble> {
    let reach = match &target.reach {
        Reach::Local => return Ok(cm_transport::local::connect()),
        Reach::Ssh(reach) => reach,
    };
    let endpoint = reach.endpoint().await.map_err(|error| Trouble {
        what: REACH,
        headline: None,
        causes: chain(&error),
        details: Vec::new(),
        hints: target.place_hint(),
    })?;
    shared.connector.connect(&endpoint).await.map_err(|error| {
        let mut hints: Vec<String> = error.hint().into_iter().collect();
        if error.is_temporary() {
            hints.extend(target.place_hint());
        }
        // The standard headline is written by the report, so that hosts with one cause are told together.
        let standard = format!("{REACH} `{}`", target.name);
        let headline = Some(error.to_string()).filter(|text| *text != standard);
        Trouble {
            what: REACH,
            headline,
            causes: chain(&error).into_iter().skip(1).collect(),
            details: error.details(),
            hints,
        }
    })
}
