//! A look at a whole host, and what of it may differ after all was taken back: cm-lab's, with panics for errors.

use cm_lab::WholeHost;
use cm_tests::Hosts;

/// Looks at all of a host.
///
/// # Panics
/// When it cannot.
pub fn look(hosts: &Hosts, host: &str) -> WholeHost {
    hosts.lab.look(host).unwrap_or_else(|error| panic!("{error}: {:?}", error.hint()))
}

/// What differs and is not stated, as lines for a person.
pub fn differences(before: &WholeHost, after: &WholeHost) -> Vec<String> {
    before.differences(after, &[])
}
