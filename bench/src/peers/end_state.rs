//! What is on a host at the end, read from it past all tools: one text that is equal where the end states are.

use anyhow::Result;

use crate::{ground::Site, role::Role};

/// The end state of each host, in the order of the site's: contents by digest, owners, modes, links, accounts,
/// packages, services.
///
/// # Errors
/// A host cannot be asked.
pub fn of(site: &Site, role: &Role) -> Result<Vec<String>> {
    site.sh_on_all(&script(role))
}

/// What tells that a run wrote something, though the end state is the same: inode and time of change of every
/// file, in the order of the site's hosts. Equal before and after a run that had nothing to change.
///
/// # Errors
/// A host cannot be asked.
pub fn traces(site: &Site, role: &Role) -> Result<Vec<String>> {
    site.sh_on_all(&traces_script(role))
}

/// What differs first between two end states of one host.
#[must_use]
pub fn difference(one: &str, other: &str) -> Option<String> {
    let (mut left, mut right) = (one.lines(), other.lines());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => {
                return Some(format!("`{}` instead of `{}`", a.unwrap_or("nothing"), b.unwrap_or("nothing")));
            }
        }
    }
}

fn traces_script(role: &Role) -> String {
    let files = role.files.iter().map(|file| &file.path);
    let others =
        role.sysctls.iter().map(|sysctl| &sysctl.path).chain(role.edits.iter().map(|edit| &edit.path));
    let all: Vec<&str> =
        files.chain(others).chain(role.links.iter().map(|link| &link.path)).map(String::as_str).collect();
    // Without -L: a link itself, not what it points to.
    format!("stat -c '%n %i %z' {} /etc/passwd /etc/group /etc/shadow /etc/gshadow", all.join(" "))
}

fn script(role: &Role) -> String {
    let paths = |paths: Vec<&String>| paths.into_iter().cloned().collect::<Vec<_>>().join(" ");
    let mut edited: Vec<&String> = role.edits.iter().map(|edit| &edit.path).collect();
    edited.dedup();
    let files = paths(
        role.files
            .iter()
            .map(|file| &file.path)
            .chain(role.sysctls.iter().map(|sysctl| &sysctl.path))
            .chain(edited)
            .collect(),
    );
    let users = paths(role.users.iter().map(|user| &user.name).collect());
    format!(
        "export LC_ALL=C; exec 2>&1\n\
         for f in {files}; do sha256sum $f; stat -c '%n %F %U %G %a %s' $f; done\n\
         for d in {directories} {homes}; do stat -c '%n %F %U %G %a' $d; done\n\
         for l in {links}; do echo $l $(readlink $l); done\n\
         sorted() {{ tr -s \"$1\" '\\n' | sort | tr '\\n' ' '; echo; }}\n\
         for u in {users}; do getent passwd $u; id -Gn $u | sorted ' '; done\n\
         for g in {groups}; do getent group $g | cut -d: -f1-3; getent group $g | cut -d: -f4 | sorted ,; done\n\
         for p in {packages}; do dpkg-query -W -f '${{Package}} ${{Version}} ${{Status}}\\n' $p; done\n\
         for s in {services}; do echo $s $(systemctl is-enabled $s) $(systemctl is-active $s); done\n\
         true",
        directories = role.directories.join(" "),
        homes = paths(role.users.iter().map(|user| &user.home).collect()),
        links = paths(role.links.iter().map(|link| &link.path).collect()),
        groups = paths(role.groups.iter().map(|group| &group.name).collect()),
        packages = role.packages.join(" "),
        services = role.services.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Size;

    #[test]
    fn the_first_difference_is_shown() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\nc\n").unwrap(), "`b` instead of `c`");
        assert_eq!(difference("a\n", "a\nc\n").unwrap(), "`nothing` instead of `c`");
    }

    /// In which order groups were made and got their members is nobody's wish.
    #[test]
    fn members_of_groups_have_no_order() {
        let sorted = script(&Role::sized(Size::Small));
        let sorted = sorted.lines().find(|line| line.starts_with("sorted()")).unwrap().to_owned();
        let run = |text: &str| {
            let mut sh = std::process::Command::new("sh");
            let output = sh.args(["-c", &format!("{sorted}\nprintf '{text}' | sorted ,")]);
            String::from_utf8(output.output().unwrap().stdout).unwrap()
        };
        assert_eq!(run("b,c,a\\n"), "a b c \n");
        assert_eq!(run("c,a,b\\n"), run("b,c,a\\n"));
        assert_ne!(run("c,a\\n"), run("b,c,a\\n"));
    }

    #[test]
    fn the_script_asks_for_everything_that_is_wanted() {
        let role = Role::sized(Size::Large);
        let script = script(&role);
        let names = role.files.iter().map(|file| &file.path).chain(role.links.iter().map(|link| &link.path));
        for name in names.chain(&role.packages).chain(&role.directories).chain(&role.services) {
            assert!(script.contains(name.as_str()), "{name}");
        }
    }
}
