//! The role that every tool applies, as plain data: what is on a host at the end, not how a tool says it.
//!
//! [`Role::write_for_cm`] says it in our language; `peers` says the same in the languages of others. All
//! numbers follow from [`Size`], and a smaller role is always the beginning of a larger one.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

/// How many tasks the role has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 20 tasks.
    Small,
    /// 100 tasks.
    Usual,
    /// 300 tasks.
    Large,
}

impl Size {
    /// The number of tasks.
    #[must_use]
    pub const fn tasks(self) -> usize {
        match self {
            Self::Small => 20,
            Self::Usual => 100,
            Self::Large => 300,
        }
    }

    const fn counts(self) -> Counts {
        match self {
            Self::Small => Counts {
                packages: 2,
                files: 10,
                directories: 2,
                links: 1,
                users: 1,
                groups: 1,
                edits: 1,
                sysctls: 1,
                services: 1,
            },
            Self::Usual => Counts {
                packages: 11,
                files: 60,
                directories: 10,
                links: 5,
                users: 5,
                groups: 3,
                edits: 3,
                sysctls: 2,
                services: 1,
            },
            Self::Large => Counts {
                packages: 33,
                files: 180,
                directories: 30,
                links: 15,
                users: 15,
                groups: 9,
                edits: 9,
                sysctls: 6,
                services: 3,
            },
        }
    }
}

struct Counts {
    packages: usize,
    files: usize,
    directories: usize,
    links: usize,
    users: usize,
    groups: usize,
    edits: usize,
    sysctls: usize,
    services: usize,
}

/// Small packages of Debian with few dependencies; none is in the lab's image. Recommended packages are
/// not wanted (cron's would be a mail server).
const PACKAGES: [&str; 33] = [
    "cron",
    "tree",
    "less",
    "bc",
    "rsync",
    "jq",
    "zip",
    "unzip",
    "time",
    "dc",
    "pv",
    "psmisc",
    "lsof",
    "patch",
    "ed",
    "m4",
    "whois",
    "socat",
    "figlet",
    "bzip2",
    "lz4",
    "pigz",
    "ncdu",
    "hexedit",
    "htop",
    "tmux",
    "file",
    "acl",
    "attr",
    "netcat-openbsd",
    "dos2unix",
    "diffstat",
    "wdiff",
];

/// Keys of login.defs(5) that all three releases of Debian have, and values that are not the default and
/// do not matter to making users.
const EDITS: [(&str, &str); 9] = [
    ("LOGIN_RETRIES", "4"),
    ("LOGIN_TIMEOUT", "50"),
    ("LOG_OK_LOGINS", "yes"),
    ("LOG_UNKFAIL_ENAB", "yes"),
    ("FAILLOG_ENAB", "no"),
    ("SYSLOG_SU_ENAB", "no"),
    ("SYSLOG_SG_ENAB", "no"),
    ("CHFN_RESTRICT", "rw"),
    ("DEFAULT_HOME", "no"),
];

/// Parameters that every network namespace has of its own. Only their files are wanted.
const SYSCTLS: [(&str, &str); 6] = [
    ("net.ipv4.ip_default_ttl", "63"),
    ("net.ipv4.tcp_keepalive_time", "600"),
    ("net.ipv4.tcp_fin_timeout", "30"),
    ("net.ipv4.tcp_max_syn_backlog", "2048"),
    ("net.ipv4.conf.all.log_martians", "1"),
    ("net.core.somaxconn", "1024"),
];

/// The first comes with the package `cron`, the others are on every host.
const SERVICES: [&str; 3] = ["cron", "ssh", "systemd-networkd"];

/// The folder that all paths of the role lie in.
pub const FOLDER: &str = "/srv/bench";

/// Bytes of a rendered file, for hosts with names of three letters.
pub const FILE_SIZE: usize = 1024;

/// All that is wanted of a host.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name: `tasks100`.
    pub name: String,
    /// Packages that are installed, without what they recommend.
    pub packages: Vec<String>,
    /// Directories, root's, mode 0755. [`FOLDER`] above them is made by the way.
    pub directories: Vec<String>,
    /// Files of one template, root's, mode 0644.
    pub files: Vec<TemplatedFile>,
    /// Symbolic links.
    pub links: Vec<Link>,
    /// Groups.
    pub groups: Vec<Group>,
    /// Users, each with a group of its own name and number, a home directory and a shell.
    pub users: Vec<User>,
    /// Lines of files that are there.
    pub edits: Vec<LineEdit>,
    /// Files of one line, root's, mode 0644.
    pub sysctls: Vec<SysctlFile>,
    /// Services that run and are started at boot.
    pub services: Vec<String>,
}

/// A file made from the role's template.
#[derive(Debug, Clone)]
pub struct TemplatedFile {
    /// Where it is.
    pub path: String,
    /// The template's variable `name`.
    pub name: String,
    /// The template's variable `port`.
    pub port: usize,
}

/// A symbolic link.
#[derive(Debug, Clone)]
pub struct Link {
    /// Where it is.
    pub path: String,
    /// Where it points.
    pub target: String,
}

/// A group.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number.
    pub gid: usize,
}

/// A user.
#[derive(Debug, Clone)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: usize,
    /// A further group.
    pub group: String,
    /// The home directory, made with it.
    pub home: String,
    /// The shell.
    pub shell: String,
}

/// A line of a file.
#[derive(Debug, Clone)]
pub struct LineEdit {
    /// The file.
    pub path: String,
    /// A regular expression that matches the line to be replaced; the same in every dialect, from `^` to
    /// the end of the line.
    pub matches: String,
    /// What the line becomes.
    pub line: String,
}

/// A file below `/etc/sysctl.d`.
#[derive(Debug, Clone)]
pub struct SysctlFile {
    /// Where it is.
    pub path: String,
    /// The parameter.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl SysctlFile {
    /// What the file holds.
    #[must_use]
    pub fn content(&self) -> String {
        format!("{} = {}\n", self.key, self.value)
    }
}

/// How a tool's templates name the three things that [`Role::template`] holds.
#[derive(Debug, Clone, Copy)]
pub struct Expressions<'a> {
    /// The host's name in the inventory: `{{ host.name }}`.
    pub host: &'a str,
    /// [`TemplatedFile::name`].
    pub name: &'a str,
    /// [`TemplatedFile::port`].
    pub port: &'a str,
}

impl Role {
    /// The role of this size.
    #[must_use]
    pub fn sized(size: Size) -> Self {
        let counts = size.counts();
        let words = |words: &[&str], count: usize| words[..count].iter().map(|word| (*word).into()).collect();
        let directories: Vec<String> =
            (1..=counts.directories).map(|n| format!("{FOLDER}/dir-{n:02}")).collect();
        let groups: Vec<Group> =
            (1..=counts.groups).map(|n| Group { name: format!("benchg{n:02}"), gid: 3000 + n }).collect();
        Self {
            name: format!("tasks{}", size.tasks()),
            packages: words(&PACKAGES, counts.packages),
            files: (1..=counts.files)
                .map(|n| TemplatedFile {
                    // In every size of the role a file lies in the same directory.
                    path: format!("{FOLDER}/dir-{:02}/app-{n:03}.conf", (n - 1) % 2 + 1),
                    name: format!("app-{n:03}"),
                    port: 8000 + n,
                })
                .collect(),
            links: (1..=counts.links)
                .map(|n| Link {
                    path: format!("{FOLDER}/current-{n:02}"),
                    target: format!("{FOLDER}/dir-{n:02}"),
                })
                .collect(),
            users: (1..=counts.users)
                .map(|n| User {
                    name: format!("benchu{n:02}"),
                    uid: 2000 + n,
                    group: "benchg01".into(),
                    home: format!("/home/benchu{n:02}"),
                    shell: "/bin/bash".into(),
                })
                .collect(),
            edits: EDITS[..counts.edits]
                .iter()
                .map(|(key, value)| LineEdit {
                    path: "/etc/login.defs".into(),
                    matches: format!("^{key}.*$"),
                    line: format!("{key} {value}"),
                })
                .collect(),
            sysctls: SYSCTLS[..counts.sysctls]
                .iter()
                .enumerate()
                .map(|(n, (key, value))| SysctlFile {
                    path: format!("/etc/sysctl.d/80-bench-{:02}.conf", n + 1),
                    key: (*key).into(),
                    value: (*value).into(),
                })
                .collect(),
            services: words(&SERVICES, counts.services),
            directories,
            groups,
        }
    }

    /// The number of tasks.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.packages.len()
            + self.directories.len()
            + self.files.len()
            + self.links.len()
            + self.groups.len()
            + self.users.len()
            + self.edits.len()
            + self.sysctls.len()
            + self.services.len()
    }

    /// The text of the template, in a tool's own expressions.
    #[must_use]
    pub fn template(&self, expressions: Expressions<'_>) -> String {
        let fill = |text: &str| {
            text.replace("@HOST@", expressions.host)
                .replace("@NAME@", expressions.name)
                .replace("@PORT@", expressions.port)
        };
        fill(&raw_template())
    }

    /// What a file holds on a host.
    #[must_use]
    pub fn rendered(&self, host: &str, file: &TemplatedFile) -> String {
        self.template(Expressions { host, name: &file.name, port: &file.port.to_string() })
    }

    /// Writes the role into a repository of ours: `roles/NAME/role.yaml` and its template.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_for_cm(&self, repository: &Path) -> Result<()> {
        let folder = repository.join("roles").join(&self.name);
        let write = |path: &Path, text: &str| {
            let above = path.parent().unwrap_or(path);
            fs::create_dir_all(above).with_context(|| format!("{} cannot be made", above.display()))?;
            fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
        };
        write(&folder.join("role.yaml"), &self.for_cm())?;
        let expressions =
            Expressions { host: "{{ host.name }}", name: "{{ item.name }}", port: "{{ item.port }}" };
        write(&folder.join("templates/app.conf.j2"), &self.template(expressions))
    }

    /// The role in our language.
    #[must_use]
    pub fn for_cm(&self) -> String {
        let mut text = format!("description: The benchmark's role of {} tasks\n\ntasks:\n", self.tasks());
        // Writing to a string cannot fail.
        let mut line = |line: &str| {
            let _ = writeln!(text, "  {line}");
        };
        line(&format!("- package: [{}]", self.packages.join(", ")));
        line("  recommends: false");
        for group in &self.groups {
            line(&format!("- group: {}", group.name));
            line(&format!("  gid: {}", group.gid));
        }
        for user in &self.users {
            line(&format!("- user: {}", user.name));
            line(&format!("  uid: {}", user.uid));
            line(&format!("  groups: [{}]", user.group));
            line(&format!("  home: {}", user.home));
            line(&format!("  shell: {}", user.shell));
        }
        line(&format!("- directory: [{}]", self.directories.join(", ")));
        line("  mode: \"0755\"");
        line("- file: \"{{ item.path }}\"");
        line("  template: app.conf.j2");
        line("  mode: \"0644\"");
        line("  each:");
        for file in &self.files {
            line(&format!("    - {{ path: {}, name: {}, port: {} }}", file.path, file.name, file.port));
        }
        for link in &self.links {
            line(&format!("- link: {}", link.path));
            line(&format!("  target: {}", link.target));
        }
        for edit in &self.edits {
            line(&format!("- line: {}", edit.path));
            line(&format!("  match: '{}'", edit.matches));
            line(&format!("  text: {}", edit.line));
        }
        for sysctl in &self.sysctls {
            line(&format!("- file: {}", sysctl.path));
            line(&format!("  content: {:?}", sysctl.content()));
            line("  mode: \"0644\"");
        }
        line(&format!("- service: [{}]", self.services.join(", ")));
        line("  state: running");
        line("  enabled: true");
        text
    }
}

/// The template with `@HOST@`, `@NAME@` and `@PORT@`: [`FILE_SIZE`] bytes when they are filled in.
fn raw_template() -> String {
    let mut text = String::from("# @NAME@ on @HOST@\nlisten = \"0.0.0.0:@PORT@\"\n");
    let filled = |text: &str| {
        text.replace("@HOST@", "n01").replace("@NAME@", "app-001").replace("@PORT@", "8001").len()
    };
    for n in 1.. {
        let option = format!("option_{n:02} = \"@NAME@/@PORT@/value {n:02}\"\n");
        if filled(&text) + filled(&option) + 3 > FILE_SIZE {
            break;
        }
        text.push_str(&option);
    }
    let rest = FILE_SIZE - filled(&text) - 2;
    text.push('#');
    text.push_str(&".".repeat(rest));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [Size; 3] = [Size::Small, Size::Usual, Size::Large];

    #[test]
    fn a_role_has_as_many_tasks_as_its_size_says() {
        for size in SIZES {
            assert_eq!(Role::sized(size).tasks(), size.tasks());
        }
    }

    #[test]
    fn every_file_is_of_the_size_that_is_told() {
        let role = Role::sized(Size::Large);
        for file in &role.files {
            assert_eq!(role.rendered("n16", file).len(), FILE_SIZE, "{}", file.path);
        }
        assert!(
            role.rendered("n16", &role.files[2]).starts_with("# app-003 on n16\nlisten = \"0.0.0.0:8003\"\n")
        );
    }

    #[test]
    fn a_small_role_is_the_beginning_of_a_large_one_and_stands_on_itself() {
        let all = Role::sized(Size::Large);
        for size in SIZES {
            let role = Role::sized(size);
            assert_eq!(role.packages, all.packages[..role.packages.len()]);
            for (file, same) in role.files.iter().zip(&all.files) {
                assert_eq!(file.path, same.path);
                let folder = file.path.rsplit_once('/').unwrap().0;
                assert!(role.directories.iter().any(|directory| directory == folder), "{folder}");
            }
            assert!(role.links.iter().all(|link| role.directories.contains(&link.target)));
            assert!(role.users.iter().all(|user| role.groups.iter().any(|group| group.name == user.group)));
        }
    }

    #[test]
    fn our_role_names_every_thing() {
        let role = Role::sized(Size::Usual);
        let text = role.for_cm();
        for path in role.files.iter().map(|file| &file.path).chain(role.sysctls.iter().map(|file| &file.path))
        {
            assert!(text.contains(path.as_str()), "{path}");
        }
        assert!(text.contains("  - package: [cron, tree, less, bc, rsync, jq, zip, unzip, time, dc, pv]\n"));
        assert!(text.contains("    content: \"net.ipv4.ip_default_ttl = 63\\n\"\n"), "{text}");
    }
}
