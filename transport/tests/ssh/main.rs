//! Tests over real SSH: against servers inside this process, and against the machine's own sshd.

#![expect(clippy::print_stderr, reason = "tests report measurements")]

mod authentication;
mod configuration;
mod faults;
mod flow;
mod host_keys;
mod jump;
mod openssh;
mod server;
mod sshd;
mod tools;
