//! `~`, `%` tokens and `${VARIABLES}` in paths of ssh_config (ssh_config(5), TOKENS).

use std::path::{Path, PathBuf};

/// What tokens stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// `%d`, and `~`.
    pub home: &'a Path,
    /// `%u`: the user of this machine.
    pub local_user: &'a str,
    /// `%n`: the host as it was named.
    pub original: &'a str,
    /// `%h`: the host that is connected to.
    pub host: &'a str,
    /// `%p`.
    pub port: u16,
    /// `%r`: the user on the host.
    pub user: &'a str,
    /// `%k`: the name in known_hosts.
    pub host_key_alias: Option<&'a str>,
}

/// Expands a path; unknown tokens stay as they are.
pub(crate) fn expand_path(text: &str, names: Names<'_>) -> PathBuf {
    let text = expand(text, names);
    match text.strip_prefix("~/") {
        Some(rest) => names.home.join(rest),
        None if text == "~" => names.home.to_owned(),
        None => PathBuf::from(text),
    }
}

/// Expands tokens and variables.
pub(crate) fn expand(text: &str, names: Names<'_>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['%', '$']) {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(variable) = rest.strip_prefix("${")
            && let Some((name, after)) = variable.split_once('}')
        {
            result.push_str(&std::env::var(name).unwrap_or_default());
            rest = after;
            continue;
        }
        let mut characters = rest.chars();
        let sign = characters.next();
        let token = if sign == Some('%') { characters.next() } else { None };
        match token {
            Some('%') => result.push('%'),
            Some('d') => result.push_str(&names.home.display().to_string()),
            Some('u') => result.push_str(names.local_user),
            Some('i') => result.push_str(&rustix::process::getuid().as_raw().to_string()),
            Some('n') => result.push_str(names.original),
            Some('h') => result.push_str(names.host),
            Some('p') => result.push_str(&names.port.to_string()),
            Some('r') => result.push_str(names.user),
            Some('k') => result.push_str(names.host_key_alias.unwrap_or(names.host)),
            Some('l') => result.push_str(&host_name()),
            Some('L') => result.push_str(host_name().split('.').next().unwrap_or_default()),
            _ => {
                result.extend(sign);
                result.extend(token);
            }
        }
        rest = characters.as_str();
    }
    result.push_str(rest);
    result
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_variables() {
        let names = Names {
            home: Path::new("/home/u"),
            local_user: "u",
            original: "web1",
            host: "10.0.0.1",
            port: 2222,
            user: "admin",
            host_key_alias: None,
        };
        for (text, expected) in [
            ("~/.ssh/%h-%r", "/home/u/.ssh/10.0.0.1-admin"),
            ("%d/keys/%n:%p", "/home/u/keys/web1:2222"),
            ("100%%/%x/$HOME", "100%/%x/$HOME"),
            ("/a/${CM_SURELY_NOT_SET}b%", "/a/b%"),
        ] {
            assert_eq!(expand_path(text, names), Path::new(expected), "{text}");
        }
    }
}
