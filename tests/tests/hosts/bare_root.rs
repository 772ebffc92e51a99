//! A node without any libc: nothing but a static busybox, reached by an sshd that locks everybody in there.

use std::time::Duration;

use cm_tests::{Repository, eventually, hosts};

const MAKE: &str = r#"
set -e
apt-get -qq update >/dev/null
apt-get -qq install -y busybox-static >/dev/null 2>&1
mkdir -p /srv/bare/bin /srv/bare/dev /srv/bare/etc /srv/bare/proc /srv/bare/tmp /srv/bare/var/lib
cp /bin/busybox /srv/bare/bin/busybox
for applet in sh uname mkdir head rm gzip chmod cat; do ln -sf busybox /srv/bare/bin/$applet; done
echo 'root:x:0:0:root:/:/bin/sh' > /srv/bare/etc/passwd
echo 'root:x:0:' > /srv/bare/etc/group
mknod -m 666 /srv/bare/dev/null c 1 3
mount -t proc none /srv/bare/proc
printf '#!/bin/sh\nexec chroot /srv/bare /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n' > /srv/into-bare
chmod 755 /srv/into-bare
/usr/sbin/sshd -p 2222 -o PidFile=/run/sshd-bare.pid -o ForceCommand=/srv/into-bare -o PermitRootLogin=yes
"#;

#[test]
fn the_agent_runs_where_there_is_no_libc() {
    let Some(hosts) = hosts() else { return };
    hosts.sh("e12", MAKE);
    eventually("the second sshd", Duration::from_secs(5), || {
        hosts.holds("e12", "test -s /run/sshd-bare.pid").then_some(())
    });
    assert_eq!(hosts.sh("e12", "find /srv/bare -name 'lib*.so*' -o -name 'ld-*'"), "");
    let repository = Repository::empty();
    repository.write(
        "inventory.yaml",
        format!(
            "hosts:\n  bare: {{ address: {} }}\ndefaults:\n  ssh: {{ user: root, port: 2222, key: {}, known_hosts: {}, host_keys: accept-new, config: none }}\n  become: true\n",
            hosts.address("e12"),
            hosts.lab.key_path().display(),
            repository.folder().join("known_hosts").display()
        ),
    );
    repository.write("roles/bare/files/tree/x", "x\n");
    repository.role(
        "bare",
        "tasks:\n  - directory: /srv/in\n  - file: /srv/in/file\n    content: \"made in {{ node.arch }}\\n\"\n    mode: \"0600\"\n  - link: /srv/in/link\n    target: file\n  - tree: /srv/in/tree\n    source: tree\n  - line: /etc/passwd\n    text: \"app:x:5:5::/:/bin/sh\"\n  - command: echo ran > /srv/in/ran\n    creates: /srv/in/ran\n    needs: file:/srv/in/file\n",
    );
    let ran = repository.cm("facts on bare --json").exits(0);
    let sent = ran.events().iter().any(|event| event["agent_sent"].as_u64().is_some_and(|bytes| bytes > 0));
    assert!(sent, "{}", ran.said());
    repository.converges("bare on bare");
    let end = hosts.sh("e12", "cd /srv/bare; cat srv/in/file srv/in/link srv/in/tree/x srv/in/ran; tail -n 1 etc/passwd; ls var/lib/cm/agent | grep -c cm-agent");
    assert_eq!(
        end,
        "made in x86_64\nmade in x86_64\nx\nran\napp:x:5:5::/:/bin/sh\n1\n"
            .replace("x86_64", std::env::consts::ARCH)
    );
    hosts.sh("e12", "kill $(cat /run/sshd-bare.pid); umount /srv/bare/proc; rm -r /srv/bare /srv/into-bare");
}
