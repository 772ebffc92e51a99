//! What a long operation tells while it goes on.

use std::time::Duration;

use crate::spec::Release;

/// A step of [`crate::up()`] that has begun or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// An image is being built; this takes about half a minute and happens once.
    BuildingImage {
        /// The release.
        release: Release,
    },
    /// The image is there.
    ImageReady {
        /// The release.
        release: Release,
        /// Whether it was there before.
        cached: bool,
        /// How long it took.
        took: Duration,
    },
    /// The lab's network is up.
    NetworkReady {
        /// `10.213.7.0/24`
        subnet: String,
    },
    /// A host is being started.
    Booting {
        /// The host.
        host: String,
    },
    /// A host's sshd answers.
    HostReady {
        /// The host.
        host: String,
        /// Its address.
        address: String,
        /// How long it took from its start.
        took: Duration,
    },
    /// A lab of this name that a killed run had left behind was removed first.
    RemovedRemains {
        /// The lab's name.
        name: String,
    },
}
