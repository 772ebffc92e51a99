//! Evaluates ssh_config without OpenSSH: everything but `Match` with a condition, which only `ssh` can decide.

use super::Settings;
use super::blocks::{Applies, Config};
use super::dump::{accepts_new, is_yes};

/// Collects the settings of a host; blocks under a `Match` with a condition are left out.
pub(crate) fn evaluate(config: &Config, host: &str) -> Settings {
    let mut settings = Settings::default();
    let (mut strict, mut hash, mut only) = (None, None, None);
    for (index, applies) in config.matching(host) {
        if applies != Applies::Yes {
            continue;
        }
        for line in &config.blocks[index].lines {
            let flag = line.arguments.first().map(|value| value.to_ascii_lowercase());
            match (line.keyword.as_str(), flag) {
                ("stricthostkeychecking", Some(value)) => {
                    strict.get_or_insert(value);
                }
                ("hashknownhosts", Some(value)) => {
                    hash.get_or_insert(value);
                }
                ("identitiesonly", Some(value)) => {
                    only.get_or_insert(value);
                }
                (keyword, _) => {
                    settings.take(keyword, &line.arguments);
                }
            }
        }
    }
    settings.accept_new = strict.is_some_and(|value| accepts_new(&value));
    settings.hash_known_hosts = hash.is_some_and(|value| is_yes(&value));
    settings.identities_only = only.is_some_and(|value| is_yes(&value));
    settings.host_name = settings.host_name.map(|name| expand_host_name(&name, host));
    for none in [&mut settings.proxy_jump, &mut settings.proxy_command] {
        if none.as_deref().is_some_and(|value| value.eq_ignore_ascii_case("none")) {
            *none = None;
        }
    }
    if settings.alive_interval == Some(std::time::Duration::ZERO) {
        settings.alive_interval = None;
    }
    settings
}

fn expand_host_name(name: &str, host: &str) -> String {
    name.replace("%%", "\0").replace("%h", host).replace("%n", host).replace('\0', "%")
}
