//! Starting the agent on a node: one `exec` that runs it when it is there, and one that receives it when it is not.
//!
//! For root the first is the program itself: its folder lies where only root can put anything, and a shell for
//! nothing but to look costs a tenth of what the whole run costs the node. Where that fails, for whatever reason,
//! the script of below is the second and says what is wrong.
//!
//! Nothing is started that somebody else could have put there: folders that are links or belong to another user are
//! refused, a program that is a link or belongs to another user counts as missing and is replaced. (`-O` is not of
//! POSIX; dash, bash, ksh and busybox have it, and where it is missing everything is refused.)
//!
//! The script is the only shell code of ours that ever runs on a node. It uses `/bin/sh`, and, where the agent must
//! be received, `uname`, `mkdir`, `head`, `rm` and, if there is one, `xz` (of XZ Utils: busybox's cannot unpack what
//! we pack), `dpkg-deb` (of dpkg: busybox has one, too) with `tar`, or `gzip`.

use crate::AgentPrograms;

/// Whose rights the agent runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Become {
    /// The user who logs in; its agent and journal lie in that user's home.
    LoginUser,
    /// Root, because root logs in.
    AlreadyRoot,
    /// Root by `sudo -n`.
    Sudo,
    /// Root by `sudo` with a password.
    SudoWithPassword,
}

/// What sudo writes to standard error when it wants the password.
pub const SUDO_PROMPT: &str = "cm-sudo-password:";

/// The line with which the node asks for the agent: this word, architecture, and the forms it can unpack with commas
/// between them: `raw`, `gz`, `deb`, `xz`.
pub const NEED: &[u8] = b"cm-need ";

/// Exit statuses of the script.
pub mod status {
    /// The folder for the agent cannot be made.
    pub const NO_FOLDER: u32 = 92;
    /// The agent cannot be written.
    pub const NO_WRITE: u32 = 93;
    /// The agent cannot be started where it was written.
    pub const NO_START: u32 = 94;
    /// The controller had no agent for the node.
    pub const NOT_SENT: u32 = 95;
    /// The folder for the agent belongs to somebody else.
    pub const NOT_OURS: u32 = 96;
}

/// Where root's agents lie.
pub const FOLDER: &str = "/var/lib/cm/agent";

/// The command that starts the agent if it is there, and does nothing otherwise; none where the script must look.
#[must_use]
pub fn direct(programs: &AgentPrograms, rights: Become) -> Option<String> {
    let mut all = programs.all();
    let (program, None) = (all.next()?, all.next()) else { return None };
    let start = format!("{FOLDER}/cm-agent-{} session", program.digest);
    match rights {
        Become::LoginUser => None,
        Become::AlreadyRoot => Some(format!("exec {start}")),
        Become::Sudo => Some(format!("exec sudo -n -- {start}")),
        Become::SudoWithPassword => Some(format!("exec sudo -S -p {SUDO_PROMPT} -- {start}")),
    }
}

/// The command that starts the agent, or receives it first.
#[must_use]
pub fn command(programs: &AgentPrograms, rights: Become) -> String {
    let (folder, ours) = if rights == Become::LoginUser {
        ("\"$HOME\"/.cache/cm", "\"$d\"")
    } else {
        (FOLDER, "/var/lib/cm \"$d\"")
    };
    let known: Vec<String> = programs.all().map(|program| program.digest.to_string()).collect();
    // No single quotes inside: the whole is quoted once for whatever login shell there is.
    let script = format!(
        "umask 077; d={folder}; \
         c() {{ for p in {ours}; do [ -e \"$p\" ] || [ -L \"$p\" ] || continue; \
         [ -d \"$p\" ] && [ ! -L \"$p\" ] && [ -O \"$p\" ] && continue; \
         echo \"$p is a link, no folder, or of another user\" >&2; exit {not_ours}; done; }}; c; \
         for h in {known}; do a=$d/cm-agent-$h; \
         [ -x \"$a\" ] && [ -O \"$a\" ] && [ ! -L \"$a\" ] && exec \"$a\" session; done; \
         z=raw; command -v gzip >/dev/null 2>&1 && z=$z,gz; case $(LC_ALL=C dpkg-deb --version 2>/dev/null) in *backend*) command -v tar >/dev/null 2>&1 && z=$z,deb;; esac; \
         case $(xz -V 2>/dev/null) in *Utils*) z=$z,xz;; esac; \
         echo \"cm-need $(uname -m) $z\"; \
         read -r h s z || exit {not_sent}; [ \"$h\" = none ] && exit {not_sent}; \
         mkdir -p \"$d\" || exit {no_folder}; c; \
         t=$d/.cm-agent-$h.$$; p=$d/.cm-agent-$h.deb.$$; \
         case $z in gz) head -c \"$s\" | gzip -dc >\"$t\";; xz) head -c \"$s\" | xz -dc >\"$t\";; \
         deb) head -c \"$s\" >\"$p\" && dpkg-deb --fsys-tarfile \"$p\" | tar -xOf - >\"$t\";; \
         *) head -c \"$s\" >\"$t\";; esac || {{ rm -f \"$t\" \"$p\"; exit {no_write}; }}; rm -f \"$p\"; \
         chmod 700 \"$t\" || exit {no_write}; \
         \"$t\" install \"$h\" \"$d/cm-agent-$h\" || {{ r=$?; rm -f \"$t\"; [ $r = 3 ] && exit {no_write}; exit {no_start}; }}; \
         exec \"$d/cm-agent-$h\" session",
        known = known.join(" "),
        not_sent = status::NOT_SENT,
        no_folder = status::NO_FOLDER,
        not_ours = status::NOT_OURS,
        no_write = status::NO_WRITE,
        no_start = status::NO_START,
    );
    debug_assert!(!script.contains('\''));
    match rights {
        Become::LoginUser | Become::AlreadyRoot => format!("exec /bin/sh -c '{script}'"),
        Become::Sudo => format!("exec sudo -n -- /bin/sh -c '{script}'"),
        Become::SudoWithPassword => format!("exec sudo -S -p {SUDO_PROMPT} -- /bin/sh -c '{script}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_one_quoted_word_of_valid_shell() {
        for rights in [Become::LoginUser, Become::AlreadyRoot, Become::Sudo, Become::SudoWithPassword] {
            let command = command(&AgentPrograms::default(), rights);
            assert_eq!(command.matches('\'').count(), 2);
            let script = command.split('\'').nth(1).unwrap();
            let checked = std::process::Command::new("/bin/sh").args(["-n", "-c", script]).status().unwrap();
            assert!(checked.success(), "{script}");
        }
    }

    /// Runs the script as the login user with this home; its exit status and what it asked for.
    fn start(home: &std::path::Path) -> (Option<i32>, String) {
        let command = command(&programs(home), Become::LoginUser);
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", &command]).env("HOME", home).stdin(std::process::Stdio::null());
        let output = shell.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// One program, which tells that it was started.
    fn programs(home: &std::path::Path) -> AgentPrograms {
        let folder = home.join("programs/any");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("cm-agent"), "#!/bin/sh\necho started\n").unwrap();
        AgentPrograms::load(&[home.join("programs")]).unwrap()
    }

    /// Puts that program where an earlier session left it.
    fn plant(home: &std::path::Path) -> std::path::PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let programs = programs(home);
        let digest = programs.for_arch("any").unwrap().digest;
        let file = home.join(format!(".cache/cm/cm-agent-{digest}"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::copy(home.join("programs/any/cm-agent"), &file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
        file
    }

    #[test]
    fn only_roots_one_agent_is_started_without_a_look() {
        let home = tempfile::tempdir().unwrap();
        let one = programs(home.path());
        let digest = one.for_arch("any").unwrap().digest;
        assert_eq!(direct(&one, Become::LoginUser), None);
        assert_eq!(
            direct(&one, Become::Sudo),
            Some(format!("exec sudo -n -- /var/lib/cm/agent/cm-agent-{digest} session"))
        );
        let folder = home.path().join("programs/other");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("cm-agent"), "another").unwrap();
        let two = AgentPrograms::load(&[home.path().join("programs")]).unwrap();
        assert_eq!(direct(&two, Become::Sudo), None);
        assert_eq!(direct(&AgentPrograms::default(), Become::Sudo), None);
    }

    #[test]
    fn an_agent_of_ones_own_is_started() {
        let home = tempfile::tempdir().unwrap();
        plant(home.path());
        assert_eq!(start(home.path()), (Some(0), "started\n".into()));
    }

    #[test]
    fn an_agent_is_received_in_every_form_the_node_can_unpack() {
        use std::io::Write as _;
        let program = b"#!/bin/sh\n[ \"$1\" = session ] && echo started && exit\nmv \"$0\" \"$3\"\n";
        // As dpkg makes one; ours is made without it, and tried on hosts.
        let deb = "d=$(mktemp -d); mkdir \"$d/DEBIAN\"; cat >\"$d/cm-agent\"; \
                   printf 'Package: a\\nVersion: 1\\nArchitecture: all\\nMaintainer: a\\nDescription: a\\n' >\"$d/DEBIAN/control\"; \
                   dpkg-deb -Zxz --build \"$d\" \"$d.deb\" >&2; cat \"$d.deb\"; rm -r \"$d\" \"$d.deb\"";
        // Developers have other systems, too.
        let has_dpkg = std::path::Path::new("/usr/bin/dpkg-deb").exists();
        let known = if has_dpkg { "raw,gz,deb,xz" } else { "raw,gz,xz" };
        let mut forms = vec![("raw", "cat"), ("gz", "gzip -9"), ("xz", "xz -9")];
        forms.extend(has_dpkg.then_some(("deb", deb)));
        for (form, packer) in forms {
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join("program");
            std::fs::write(&file, program).unwrap();
            let packed = std::process::Command::new("sh")
                .args(["-c", packer])
                .stdin(std::fs::File::open(&file).unwrap())
                .output()
                .unwrap()
                .stdout;
            let mut shell = std::process::Command::new("/bin/sh");
            shell.args(["-c", &command(&programs(home.path()), Become::LoginUser)]).env("HOME", home.path());
            shell.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
            let mut child = shell.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(format!("abc {} {form}\n", packed.len()).as_bytes()).unwrap();
            stdin.write_all(&packed).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let asked = format!("cm-need {} {known}\n", std::env::consts::ARCH);
            assert_eq!(said, format!("{asked}started\n"), "{form}");
            let folder = home.path().join(".cache/cm");
            let left: Vec<_> =
                std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["cm-agent-abc"], "{form}");
        }
    }

    #[test]
    fn what_somebody_else_has_planted_is_not_started() {
        let not_sent = Some(status::NOT_SENT as i32);
        // A link to a program is no program: the node asks for the agent.
        let home = tempfile::tempdir().unwrap();
        let file = plant(home.path());
        std::fs::rename(&file, home.path().join("other")).unwrap();
        std::os::unix::fs::symlink(home.path().join("other"), &file).unwrap();
        let (code, said) = start(home.path());
        assert!(code == not_sent && said.starts_with("cm-need "), "{code:?} {said}");
        // A link in place of the folder is refused.
        let home = tempfile::tempdir().unwrap();
        let folder = plant(home.path()).parent().unwrap().to_owned();
        std::fs::rename(&folder, home.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(home.path().join("elsewhere"), &folder).unwrap();
        assert_eq!(start(home.path()), (Some(status::NOT_OURS as i32), String::new()));
        // Only root can give files away, and so try what follows.
        let home = tempfile::tempdir().unwrap();
        let file = plant(home.path());
        if std::os::unix::fs::chown(&file, Some(65534), None).is_ok() {
            let (code, said) = start(home.path());
            assert!(code == not_sent && said.starts_with("cm-need "), "{code:?} {said}");
            std::os::unix::fs::chown(file.parent().unwrap(), Some(65534), None).unwrap();
            assert_eq!(start(home.path()), (Some(status::NOT_OURS as i32), String::new()));
        }
    }
}
