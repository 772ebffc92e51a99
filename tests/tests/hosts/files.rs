//! file, directory, link, tree and line.

use cm_tests::{Hosts, Repository, hosts};

#[test]
fn files_in_directories_that_are_not_there_yet() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.write("roles/files/templates/site.conf.j2", "listen {{ port }} on {{ node.hostname }}\n");
    repository.write("roles/files/files/blob.bin", [0, 159, 146, 150, 255, 0, 10]);
    repository.role(
        "files",
        r#"
params:
  port: { type: int, default: 80 }
tasks:
  - file: /srv/files/a/index.html
    content: "hello from {{ node.hostname }}\n"
  - file: /srv/files/site.conf
    template: site.conf.j2
    mode: "0640"
    owner: daemon
    group: daemon
  - file: /srv/files/blob.bin
    source: blob.bin
  - directory: /srv/files
    mode: "0751"
  - directory: /srv/files/a
    owner: daemon
  - link: /srv/files/current
    target: a
  - file: /etc/issue.net
    state: absent
  - file: /srv/files/checked
    content: "good\n"
    validate: grep -q good %s
"#,
    );
    let changed = repository.converges("files on releases");
    assert_eq!(changed.len(), 8 * 3, "{changed:#?}");
    for host in Hosts::RELEASES {
        let end = hosts.sh(host, "cd /srv/files; stat -c '%n %a %U %G' . a site.conf a/index.html blob.bin; cat a/index.html site.conf; readlink current; cat checked; od -An -tx1 blob.bin; test ! -e /etc/issue.net");
        let wanted = format!(
            ". 751 root root\na 755 daemon root\nsite.conf 640 daemon daemon\na/index.html 644 root root\nblob.bin 644 root root\n\
             hello from {host}\nlisten 80 on {host}\na\ngood\n 00 9f 92 96 ff 00 0a\n"
        );
        assert_eq!(end, wanted, "on {host}");
    }
    // Another value: only what is made of it changes, with the lines that differ.
    let changed = repository.converges("files on releases --set port=81");
    assert_eq!(changed.len(), 3);
    assert!(changed.iter().all(|change| change.task == "file:/srv/files/site.conf" && change.changes.contains("+listen 81")), "{changed:#?}");
    repository.converges("files on releases");
    // Drift of every kind.
    for host in Hosts::RELEASES {
        hosts.sh(host, "cd /srv/files; echo x >> a/index.html; chmod 600 site.conf; chown daemon blob.bin; ln -sfn /tmp current; chmod 700 .; rm checked; echo > /etc/issue.net");
    }
    // The owner of the blob is nobody's wish.
    let found = repository.mends("files on releases");
    assert_eq!(found.len(), 6 * 3, "{found:#?}");
    assert_eq!(hosts.sh("d13", "stat -c %U /srv/files/blob.bin"), "daemon\n");
}

#[test]
fn a_file_that_is_refused_does_not_replace_the_old_one() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    hosts.sh("d12", "echo old > /etc/validated");
    let role = "tasks:\n  - file: /etc/validated\n    content: bad\n    validate: sh -c 'echo no good >&2; exit 3' %s\n  - file: /etc/beside-validated\n    content: x\n";
    repository.role("v", role);
    repository.cm("apply v on d12").exits(3).says(&[
        "error: task `file:/etc/validated` failed on `d12`",
        "no good",
        "roles/v/role.yaml:2",
    ]);
    assert_eq!(
        hosts.sh("d12", "cat /etc/validated; ls -a /etc | grep -c '^\\.validated' || true"),
        "old\n0\n"
    );
    assert!(
        hosts.holds("d12", "test -e /etc/beside-validated"),
        "a failed task stops only what depends on it"
    );
}

#[test]
fn a_tree_is_copied_whole_and_what_is_not_of_it_goes() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.write("roles/tree/files/site/index.html", "<h1>1</h1>\n");
    repository.write("roles/tree/files/site/css/a b.css", "a{}\n");
    repository.write("roles/tree/files/site/skip.tmp", "no\n");
    repository.role(
        "tree",
        "tasks:\n  - tree: /srv/tree\n    source: site\n    delete: true\n    exclude: ['*.tmp', 'keep']\n",
    );
    repository.converges("tree on releases");
    for host in Hosts::RELEASES {
        assert_eq!(hosts.sh(host, "cd /srv/tree; find . -type f | sort"), "./css/a b.css\n./index.html\n");
        hosts.sh(host, "cd /srv/tree; mkdir -p old/deep keep; touch \"old/it's \\\"quoted\\\"\" old/deep/x keep/mine b.tmp; touch \"$(printf 'new\\nline')\" \"$(printf 'bad\\377\\376')\"; echo y > index.html");
    }
    let found = repository.mends("tree on releases");
    assert_eq!(found.len(), 3);
    for host in Hosts::RELEASES {
        assert_eq!(
            hosts.sh(host, "cd /srv/tree; find . -type f | sort; cat index.html"),
            "./b.tmp\n./css/a b.css\n./index.html\n./keep/mine\n<h1>1</h1>\n"
        );
    }
}

#[test]
fn lines_of_a_file_after_the_file_that_makes_it() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    repository.role(
        "lines",
        r#"
tasks:
  - line: /etc/lines.conf
    text: second = 2
    match: "^second"
  - file: /etc/lines.conf
    content: "first = 1\nsecond = 1\nthird = 3\n"
  - line: /etc/lines.conf
    text: fourth = 4
    after: "^second"
  - line: /etc/lines.conf
    match: "^third"
    state: absent
  - line: /etc/other.conf
    text: only
    create: true
"#,
    );
    repository.converges("lines on releases");
    for host in Hosts::RELEASES {
        assert_eq!(
            hosts.sh(host, "cat /etc/lines.conf /etc/other.conf"),
            "first = 1\nsecond = 2\nfourth = 4\nonly\n"
        );
        hosts.sh(host, "sed -i s/second.*/second=9/ /etc/lines.conf; echo more >> /etc/other.conf");
    }
    repository.mends("lines on releases");
    assert_eq!(
        hosts.sh("d11", "cat /etc/lines.conf /etc/other.conf"),
        "first = 1\nsecond = 2\nfourth = 4\nonly\nmore\n"
    );
}
