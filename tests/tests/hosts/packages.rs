//! package: presence, versions, holds, transactions, with the lab's own small packages.

use cm_tests::{Hosts, Repository, hosts};

const LOOK: &str =
    "dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n' 'cm-lab-*' 2>/dev/null | sed 's/ *$//'";

#[test]
fn a_package_through_its_versions_holds_and_its_end() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("old", "tasks:\n  - package: cm-lab-daemon\n    version: \"1.*\"\n    held: true\n  - package: cm-lab-lib\n    version: \"1.0\"\n");
    repository.role(
        "latest",
        "tasks:\n  - package: [cm-lab-daemon, cm-lab-lib]\n    state: latest\n    held: false\n",
    );
    repository.role("present", "tasks:\n  - package: [cm-lab-lib, cm-lab-daemon]\n");
    repository.role("gone", "tasks:\n  - package: cm-lab-daemon\n    state: absent\n");
    for host in Hosts::RELEASES {
        hosts.sh(host, "dpkg -P cm-lab-daemon cm-lab-lib 2>/dev/null");
    }
    repository.converges("old on releases");
    for host in Hosts::RELEASES {
        assert_eq!(hosts.sh(host, LOOK), "cm-lab-daemon 1.0 hi\ncm-lab-lib 1.0 ii\n", "on {host}");
    }
    repository.is_converged("present on releases");
    repository.converges("latest on releases");
    for host in Hosts::RELEASES {
        assert_eq!(hosts.sh(host, LOOK), "cm-lab-daemon 2.0 ii\ncm-lab-lib 2.0 ii\n", "on {host}");
        hosts.sh(host, "dpkg -r cm-lab-daemon >/dev/null");
    }
    repository.mends("present on releases");
    repository.converges("gone on releases");
    for host in Hosts::RELEASES {
        assert!(!hosts.holds(host, "test -e /usr/sbin/cm-lab-daemon"), "on {host}");
    }
    repository.role("purged", "tasks:\n  - package: [cm-lab-daemon, cm-lab-lib]\n    state: purged\n");
    repository.converges("purged on releases");
    assert_eq!(hosts.sh("d11", LOOK), "");
}

#[test]
fn packages_that_are_ready_together_are_one_transaction() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role("both", "tasks:\n  - package: [cm-lab-daemon, cm-lab-lib]\n");
    let count = "grep -c ^Commandline /var/log/apt/history.log 2>/dev/null || true";
    let before: u32 = hosts.sh("e12", count).trim().parse().unwrap_or(0);
    repository.converges("both on e12");
    let after: u32 = hosts.sh("e12", count).trim().parse().unwrap_or(0);
    assert_eq!(after - before, 1);
    repository.role("both", "tasks:\n  - package: [cm-lab-daemon, cm-lab-lib]\n    state: purged\n");
    repository.converges("both on e12");
}

#[test]
fn a_package_that_nobody_has_fails_alone_and_says_so() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "wrong",
        "tasks:\n  - package: [no-such-package, cm-lab-lib]\n  - package: cm-lab-daemon\n    version: \"9.*\"\n  - file: /etc/after-the-package\n    content: x\n    needs: package:no-such-package\n",
    );
    let ran = repository.cm("apply wrong on e12").exits(3);
    let ran = ran.says(&[
        "`package:no-such-package` failed on `e12`",
        "no-such-package",
        "1 task that needs it was skipped",
        "9.*",
    ]);
    assert!(hosts.holds("e12", "dpkg -s cm-lab-lib"), "{}", ran.said());
    assert!(!hosts.holds("e12", "test -e /etc/after-the-package"));
    hosts.sh("e12", "dpkg -P cm-lab-lib");
}
