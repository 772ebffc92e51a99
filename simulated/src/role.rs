//! The role that is applied to simulated nodes: tasks of the kinds that hold in a root without an init system.

use std::{fs, io, path::Path};

/// How many tasks the role has where nothing else is asked for.
pub const TASKS: usize = 100;
/// How many of them are no templated files.
const OTHERS: usize = 37;

/// Packages that the image of the lab has: their state is read from dpkg's own files, nothing is installed.
const PACKAGES: [&str; 11] =
    ["bash", "coreutils", "dash", "dpkg", "grep", "gzip", "hostname", "passwd", "sed", "tar", "curl"];

/// Writes `roles/NAME` into a repository: 11 packages, 10 directories, 5 links, 5 users, 3 groups, 3 edits of lines,
/// and templated files of 1 KiB up to the number of tasks. No service and no runtime setting: nothing runs in these
/// roots.
///
/// # Errors
/// When the files cannot be written.
pub fn write(repository: &Path, name: &str, tasks: usize) -> io::Result<()> {
    let files = tasks.saturating_sub(OTHERS);
    let role = repository.join("roles").join(name);
    fs::create_dir_all(role.join("templates"))?;
    let mut text = String::from(
        "description: what simulated nodes are measured with\nparams:\n  port: { type: int, default: 8080 }\ntasks:\n",
    );
    let mut count = 0;
    let mut task = |task: String| {
        text.push_str(&task);
        count += 1;
    };
    for package in PACKAGES {
        task(format!("  - package: {package}\n"));
    }
    for number in 0..3 {
        task(format!("  - group: team{number}\n    gid: {}\n", 3100 + number));
    }
    for number in 0..5 {
        task(format!("  - user: worker{number}\n    uid: {}\n    system: true\n", 3200 + number));
    }
    for number in 0..10 {
        task(format!(
            "  - directory: /srv/app/part{number}\n    owner: worker{}\n    mode: \"0755\"\n",
            number % 5
        ));
    }
    for number in 0..files {
        task(format!(
            "  - file: /srv/app/part{}/{number}.conf\n    template: conf.j2\n    mode: \"0644\"\n",
            number % 10
        ));
    }
    for number in 0..5 {
        task(format!("  - link: /srv/app/link{number}\n    target: /srv/app/part{number}\n"));
    }
    for (number, file) in ["/etc/login.defs", "/etc/profile", "/etc/shells"].into_iter().enumerate() {
        task(format!("  - line: {file}\n    text: \"# simulated {number}\"\n"));
    }
    debug_assert_eq!(count, files + OTHERS);
    fs::write(role.join("role.yaml"), text)?;
    let filling = "# a line that fills the file up to a size that is usual for such files\n".repeat(13);
    let template =
        format!("# {{{{ node.os.name }}}}\nlisten {{{{ port }}}}\nworkers {{{{ node.cpus }}}}\n{filling}");
    fs::write(role.join("templates/conf.j2"), template)
}
