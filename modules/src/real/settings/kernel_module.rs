//! Kernel modules: what /proc/modules and /sys/module say, and modprobe(8).

use std::{fs, path::Path, time::Instant};

use super::tool;
use crate::{Problem, real::Real};

/// What the kernel was built with.
const BUILT_IN: &str = "built in";

/// The kernel writes all names with underscores.
fn kernel_name(name: &str) -> String {
    name.replace('-', "_")
}

pub(super) fn read(name: &str) -> Option<String> {
    let name = kernel_name(name);
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    if is_loaded(&modules, &name) {
        return Some("loaded".into());
    }
    if fs::metadata(Path::new("/sys/module").join(&name)).is_ok() {
        // It has parameters but is no loaded module.
        return Some(BUILT_IN.into());
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let list = fs::read_to_string(Path::new("/lib/modules").join(release).join("modules.builtin"));
    is_built_in(&list.unwrap_or_default(), &name).then(|| BUILT_IN.into())
}

/// Lines of /proc/modules (proc(5)): the name first. A module that is on its way out does not count.
fn is_loaded(modules: &str, name: &str) -> bool {
    modules.lines().any(|line| {
        let mut words = line.split(' ');
        words.next() == Some(name) && words.nth(3) != Some("Unloading")
    })
}

/// Lines of modules.builtin (kbuild): `kernel/fs/ext4/ext4.ko`.
fn is_built_in(list: &str, name: &str) -> bool {
    list.lines().any(|line| {
        let file = line.rsplit('/').next().unwrap_or(line);
        file.strip_suffix(".ko").is_some_and(|module| kernel_name(module) == name)
    })
}

pub(super) fn set(real: &Real, name: &str, value: Option<&str>, deadline: Instant) -> Result<(), Problem> {
    match (read(name), value) {
        (None, None) => Ok(()),
        (Some(_), Some(_)) => Ok(()),
        (Some(found), None) if found == BUILT_IN => Err(Problem::new(format!(
            "the kernel module {name} is built into the kernel and cannot be unloaded"
        ))
        .hint("`state: blacklisted` and `state: absent` are for modules that are files of their own")),
        (None, Some(_)) => {
            let doing = format!("loading the kernel module {name}");
            tool::run(real, &doing, &["modprobe", "--", name], None, deadline).map_err(explain)
        }
        (Some(_), None) => {
            let doing = format!("unloading the kernel module {name}");
            let argv = ["modprobe", "-r", "--", name];
            tool::run(real, &doing, &argv, None, deadline).map_err(|problem| {
                if problem.message.contains("in use") {
                    return problem.hint("something uses it: `lsmod` on the node says what");
                }
                explain(problem)
            })
        }
    }
}

fn explain(problem: Problem) -> Problem {
    let problem = tool::in_container(problem, "kernel modules");
    if problem.hint.is_none() && problem.message.contains("not found in directory") {
        return problem.hint(
            "the running kernel has no such module: a package may bring it (`linux-modules-extra`), or the node \
             must boot the kernel that was installed last",
        );
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_kernel_has_them() {
        let modules =
            "br_netfilter 32768 0 - Live 0x0\nloop 40960 2 - Live 0x0\ndummy 16384 0 - Unloading 0x0\n";
        assert!(is_loaded(modules, &kernel_name("br-netfilter")));
        assert!(is_loaded(modules, "loop"));
        assert!(!is_loaded(modules, "loo") && !is_loaded(modules, "dummy") && !is_loaded("", "loop"));
        let list = "kernel/fs/ext4/ext4.ko\nkernel/drivers/char/virtio-rng.ko\n";
        assert!(is_built_in(list, "ext4") && is_built_in(list, "virtio_rng"));
        assert!(!is_built_in(list, "ext") && !is_built_in(list, "rng"));
    }

    #[test]
    fn this_kernel_has_modules_or_none_but_never_an_error() {
        assert_eq!(read("no-such-module-at-all"), None);
    }
}
