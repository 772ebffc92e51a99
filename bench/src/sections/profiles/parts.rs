//! Which part of controller or agent a sample belongs to: the first rule of a list that finds one of its functions.

use crate::{flame::KERNEL, stacks::Stack};

/// A part of a program, and how the names of its functions begin, without the `<` or `&` before them.
pub type Part = (&'static str, &'static [&'static str]);

/// Where no rule finds anything.
const REST: &str = "starting and ending process and threads, C library without a caller";

/// The controller's parts; what is special comes before what calls it.
pub const CONTROLLER: &[Part] = &[
    (
        "SSH: key exchange, host key, log-in",
        &[
            "russh::client::kex",
            "russh::kex",
            "russh::negotiation",
            "russh::auth",
            "russh::keys",
            "cm_transport::authenticate",
            "cm_transport::known_hosts",
            "cm_transport::host_key",
            "cm_transport::keys",
            "cm_transport::trust",
            "ml_kem",
            "module_lattice",
            "curve25519_dalek",
            "ed25519",
            "x25519",
            "ssh_key",
            "ssh_encoding",
        ],
    ),
    ("state database", &["redb", "cm_state", "cm::record"]),
    (
        "loading the project: YAML, inventory, roles",
        &["cm_plan::project", "cm_roles::read", "cm_syntax", "granit_parser", "cm_inventory", "cm::fleet"],
    ),
    (
        "planning each host: rendering, checking, ordering",
        &[
            "cm_plan",
            "cm_engine::project_planner",
            "cm_engine::catalog",
            "cm_roles",
            "minijinja",
            "cm_modules",
        ],
    ),
    ("SSH: connecting, ciphers, channels", &["russh", "cm_transport", "cm_engine::executor::link"]),
    (
        "messages to and from agents",
        &[
            "cm_wire",
            "postcard",
            "cm_engine::session",
            "cm_engine::executor::say",
            "cm_engine::executor::outgoing",
        ],
    ),
    ("the run: who is next, events, ends of hosts", &["cm_engine"]),
    ("command line, output", &["cm::", "clap_builder"]),
    ("runtime: tasks, timers, wake-ups", &["tokio", "mio", "russh_util"]),
];

/// The agent's parts.
pub const AGENT: &[Part] = &[
    ("looking at files and templates", &["cm_modules::library::file", "cm_modules::library::content"]),
    (
        "looking at packages: dpkg's database",
        &[
            "cm_modules::library::package",
            "cm_modules::real::packages",
            "cm_modules::real::apt",
            "cm_modules::real::dpkg",
        ],
    ),
    (
        "looking at services: the system's bus",
        &[
            "cm_modules::library::service",
            "cm_modules::library::unit",
            "cm_modules::real::units",
            "cm_modules::dbus",
        ],
    ),
    (
        "looking at users and groups",
        &["cm_modules::library::user", "cm_modules::library::group", "cm_modules::real::accounts"],
    ),
    ("looking at lines, links, directories", &["cm_modules::library", "cm_modules::real"]),
    ("facts of the host", &["cm_modules::facts"]),
    (
        "journal and what was applied before",
        &["cm_agent::journal", "cm_agent::applied", "cm_agent::settled", "cm_agent::runner::remember"],
    ),
    ("telling results", &["cm_agent::runner::report", "cm_agent::outbox"]),
    (
        "reading what is wanted",
        &[
            "cm_wire",
            "postcard",
            "serde_core",
            "cm_modules::registry",
            "cm_modules::schema",
            "cm_modules::module",
            "cm_modules::param",
        ],
    ),
    ("runner: order, threads, waiting", &["cm_agent::runner"]),
    ("session: start, hello, reading, writing", &["cm_agent"]),
];

/// The part that a sample belongs to.
#[must_use]
pub fn part(stack: &Stack, parts: &[Part]) -> &'static str {
    let is = |call: &str, name: &str| call.trim_start_matches(['<', '&', '*', '(']).starts_with(name);
    let found = parts.iter().find(|(_, names)| {
        stack.calls.iter().any(|call| !call.ends_with(KERNEL) && names.iter().any(|name| is(call, name)))
    });
    found.map_or(REST, |(part, _)| part)
}

/// Whether the kernel was at work.
#[must_use]
pub fn in_kernel(stack: &Stack) -> bool {
    stack.calls.last().is_some_and(|call| call.ends_with(KERNEL))
}

/// What the kernel was entered for: the system call, the fault, the interrupt.
#[must_use]
pub fn entered(stack: &Stack) -> Option<&str> {
    stack.calls.iter().find(|call| call.ends_with(KERNEL)).map(|call| call.trim_end_matches(KERNEL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(calls: &[&str]) -> Stack {
        Stack { thread: "t".into(), calls: calls.iter().map(|call| (*call).to_owned()).collect() }
    }

    #[test]
    fn what_is_special_comes_before_what_calls_it() {
        let of = |calls: &[&str]| part(&stack(calls), CONTROLLER);
        let exchange = of(&["russh::client::Session::run", "russh::client::kex::ClientKex::step", "malloc"]);
        assert_eq!(exchange, "SSH: key exchange, host key, log-in");
        assert_eq!(of(&["russh::client::Session::run", "malloc"]), "SSH: connecting, ciphers, channels");
        assert_eq!(
            of(&["<cm_plan::A as B>::c", "page_fault [k]"]),
            "planning each host: rendering, checking, ordering"
        );
        assert_eq!(of(&["cm::commands::run"]), "command line, output");
        assert_eq!(of(&["cmsg::x"]), REST);
        assert_eq!(of(&["do_exit [k]"]), REST);
    }

    #[test]
    fn the_kernel_is_entered_by_its_outermost_function() {
        let one = stack(&["read", "ksys_read [k]", "vfs_read [k]"]);
        assert!(in_kernel(&one));
        assert_eq!(entered(&one), Some("ksys_read"));
        assert_eq!(entered(&stack(&["a"])), None);
    }
}
