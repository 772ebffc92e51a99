//! The same error of many hosts is told once.

use cm_syntax::{Diagnostic, Diagnostics};

/// How many hosts are named before the rest is counted.
const NAMED: usize = 4;

/// Puts the errors of several hosts together: each once, with the hosts it struck.
#[must_use]
pub fn gather_failures<'h>(failures: impl IntoIterator<Item = (&'h str, Diagnostics)>) -> Diagnostics {
    let mut all: Vec<(Diagnostic, Vec<&str>)> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (host, diagnostics) in failures {
        for diagnostic in diagnostics {
            let index = *known.entry(diagnostic.clone()).or_insert_with(|| {
                all.push((diagnostic, Vec::new()));
                all.len() - 1
            });
            if all[index].1.last() != Some(&host) {
                all[index].1.push(host);
            }
        }
    }
    all.into_iter().map(|(diagnostic, hosts)| diagnostic.caused_by(struck(&hosts))).collect()
}

fn struck(hosts: &[&str]) -> String {
    match hosts {
        [one] => format!("on host {one}"),
        many if many.len() <= NAMED => format!("on {} hosts: {}", many.len(), many.join(", ")),
        many => format!(
            "on {} hosts: {} and {} more",
            many.len(),
            many[..NAMED - 1].join(", "),
            many.len() - (NAMED - 1)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_errors_are_told_once_with_their_hosts() {
        let error = || Diagnostics::from(Diagnostic::error("no"));
        let names: Vec<String> = (1..=6).map(|n| format!("web{n}")).collect();
        let all = gather_failures(names.iter().map(|name| (name.as_str(), error())));
        let causes: Vec<&str> = all.iter().map(|diagnostic| diagnostic.causes[0].as_str()).collect();
        assert_eq!(causes, ["on 6 hosts: web1, web2, web3 and 3 more"]);
    }
}
