//! The Debian packages that lab and tests need.

use anyhow::{Result, bail};

use crate::shell;

/// A package and the program it is there for.
pub type Needed = (&'static str, &'static str);

/// What the lab needs.
pub const LAB: &[Needed] = &[
    ("mmdebstrap", "/usr/bin/mmdebstrap"),
    ("systemd-container", "/usr/bin/systemd-nspawn"),
    ("nftables", "/usr/sbin/nft"),
    ("iproute2", "/usr/sbin/ip"),
    ("openssh-client", "/usr/bin/ssh"),
    ("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
];

/// What the tests need beyond that.
pub const TESTS: &[Needed] = &[
    ("openssh-server", "/usr/sbin/sshd"),
    ("busybox-static", "/bin/busybox"),
    ("faketime", "/usr/bin/faketime"),
    ("vagrant", "/usr/bin/vagrant"),
    ("dnf", "/usr/bin/dnf"),
    ("dnf-plugins-core", "/usr/lib/python3/dist-packages/dnf-plugins/versionlock.py"),
    ("rpm", "/usr/bin/rpmbuild"),
    ("createrepo-c", "/usr/bin/createrepo_c"),
    ("pacman-package-manager", "/usr/bin/pacman"),
    ("gnupg", "/usr/bin/gpg"),
    ("strace", "/usr/bin/strace"),
    ("git", "/usr/bin/git"),
    ("zip", "/usr/bin/zip"),
    ("xz-utils", "/usr/bin/xz"),
    ("zstd", "/usr/bin/zstd"),
    ("bzip2", "/usr/bin/bzip2"),
    ("python3-jsonschema", "/usr/lib/python3/dist-packages/jsonschema/__init__.py"),
    ("python3-yaml", "/usr/lib/python3/dist-packages/yaml/__init__.py"),
];

/// What counting instructions needs.
pub const COUNTS: &[Needed] = &[("valgrind", "/usr/bin/valgrind"), ("util-linux", "/usr/bin/taskset")];

/// All of them.
pub const ALL: &[&[Needed]] = &[LAB, TESTS, COUNTS];

/// Installs what is missing.
pub fn install(sets: &[&[Needed]]) -> Result<()> {
    let missing: Vec<&str> = sets
        .iter()
        .flat_map(|set| set.iter())
        .filter(|(_, file)| !std::path::Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !shell::is_root() {
        bail!("these Debian packages are missing: apt-get install {} (as root)", missing.join(" "));
    }
    println!("installing {}", missing.join(" "));
    let apt = |arguments: &[&str]| {
        let mut command = shell::command("apt-get", arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        shell::run(&mut command)
    };
    apt(&["-qq", "update"])?;
    let mut arguments = vec!["-qq", "-y", "--no-install-recommends", "install"];
    arguments.extend(&missing);
    apt(&arguments)
}
