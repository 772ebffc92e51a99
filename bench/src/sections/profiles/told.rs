//! What is told of profiles: tables of what dominated, flame graphs, and what was done about it.

use anyhow::{Result, ensure};

use super::parts::{AGENT, CONTROLLER, Part, entered, in_kernel, part};
use crate::{
    findings::Findings,
    plot::Plot,
    stacks::{Stack, counted, fold},
    table::Table,
};

/// What the section says it does.
pub const ABOUT: &str = "\
Where the processor time goes when nothing is to change, 100 tasks: of the controller with 16 hosts and with 1,000 \
simulated ones, and of all agents in the same runs. Sampled by `perf record -e cpu-clock`, since a virtual machine has \
no other clock. The programs are builds of the same sources that keep their symbols; the agent, which is shipped without \
tables for unwinding, has those, too, and lies in the shipped one's place on the hosts. The \
pictures show which share of the samples has a function on its stack; opened by themselves they tell name and share under \
the pointer. The kernel's functions are blue and end with `[k]`, those of `cm`'s own crates are red; functions in less \
than 0.2 % of the samples are left out.";

/// What was learnt from profiles like these while `cm` was made faster.
pub const DONE: &[&str] = &[
    "**How to read the tables.** A sample belongs to the first part of the list that one of its functions is of, however \
     deep; the kernel's work counts for the part that asked for it, and is told beside it. `finish_task_switch` and \
     `_raw_spin_unlock_irqrestore` are where the kernel allows interrupts again: a sample there belongs to what came right \
     before, a switch of threads or a message on its way.",
    "**What dominated the controller, and what was done.** *Starting one process*: the packed agents were copied into \
     memory at every start and are now used where they lie in the program's file. *Connections*: waiting, not work, so \
     it is not in these pictures; nodelay and quick ACKs took it away. What is left of them is arithmetic on curves and \
     lattices, the making of short-lived buffers, and the kernel's network. *Many hosts*: known_hosts was searched line \
     by line for each host, which grew with the square of their number, and is now a map; facts of all hosts were \
     collected for each catalog though nobody asked for them, and are now only where something does. *Planning*: tasks \
     are ordered and merged by maps of hashed paths, with a third fewer instructions; what stays is the rendering of \
     templates, which is work for each host. *Recording*: a task that was as wanted in less than a millisecond takes a \
     few bytes instead of a row, and hosts that end together are written together.",
    "**What dominated the agent, and what was done.** *systemctl*: a process for the states of units; they are now asked \
     for over the system's bus by a client of our own, in one connection. *Threads*: the looks of a hundred tasks take a \
     few milliseconds, of which starting threads and their waiting for each other's heap was a good part; now one thread \
     begins, and others help only after 5 ms, on one heap that grows by megabytes. *Reading again*: files that many tasks \
     look into (passwd, group, dpkg's status) are compared with what was read once a look, not once a task, and dpkg's \
     fields are told apart by where their colons are; files that are what they were when they were \
     last hashed are not read. *Counting processors*, which std does by reading cgroups and mount tables, was up to 5 % \
     of an agent's time in these very profiles; the kernel is asked where threads are wanted. *The journal* and the list \
     of what was applied were a third of an agent's time, once a node remembers a few hundred things: decoding, sorting \
     into maps, giving all of it back; a run of a catalog that changed nothing over the very same memory before does not \
     read it. *Telling*: each result woke a thread, which woke sudo's and sshd's processes and the controller; results of \
     tasks that were as wanted now go in one write with the end of the run, as the agent's mark goes with its facts. \
     *Looking at lines*: an expression is asked only about lines that begin as it does. *Starting*: the shell that \
     looked for the agent is gone where root logs in, and so are the reading of `/proc/self/maps` at the start and \
     relocation: the agent lies at a fixed address. What is left is spread thin: starting and ending the process, faulting in its pages, the system calls of looks and facts, \
     dpkg's database, decoding and hashing what is wanted.",
    "**What no tool can take away** is in the table of programs: on the hosts sshd's key exchange and log-in, with the \
     session that PAM and systemd make of it, cost several times what the agent does, and sudo about as much as the agent. \
     Plain ssh pays for sshd, too, which is why it is the floor; it does not pay for sudo. `else` is what else ran on the \
     machine at that time.",
    "The instructions of planner, codec, ready queue and the agent's looks are counted in CI (`cargo xtask test counts`, \
     `bench/counts.toml`), where times would be too noisy to hold anything.",
];

/// Rows of the tables of functions.
const TOP: usize = 12;
/// Bytes of a picture.
const LARGEST: usize = 300_000;

/// Controller: what dominated.
///
/// # Errors
/// There are no samples.
pub fn controller(findings: &mut Findings, name: &str, title: &str, mut stacks: Vec<Stack>) -> Result<()> {
    // perf itself, until it has become cm.
    stacks.retain(|stack| !stack.thread.starts_with("perf"));
    program(findings, name, title, CONTROLLER, &mut stacks)
}

/// All agents: what dominated.
///
/// # Errors
/// There are no samples.
pub fn agents(findings: &mut Findings, name: &str, title: &str, mut stacks: Vec<Stack>) -> Result<()> {
    stacks.retain(|stack| stack.thread.starts_with("cm-agent"));
    stacks.iter_mut().for_each(|stack| "cm-agent".clone_into(&mut stack.thread));
    program(findings, name, title, AGENT, &mut stacks)?;
    let asked = counted(&stacks, entered);
    findings.tables.push(shares(
        &format!("{title}: what the kernel was entered for"),
        "way into the kernel",
        &asked,
        stacks.len(),
    ));
    Ok(())
}

/// Which programs the machine was busy with.
pub fn machine(findings: &mut Findings, title: &str, stacks: &[Stack]) {
    let busy: Vec<Stack> = stacks
        .iter()
        .filter(|stack| !["swapper", "perf"].iter().any(|name| stack.thread.starts_with(name)))
        .cloned()
        .collect();
    let programs = counted(&busy, |stack| [program_of(&stack.thread)]);
    findings.tables.push(shares(
        &format!("{title}: what the whole machine was busy with"),
        "program",
        &programs,
        busy.len(),
    ));
}

fn program_of(thread: &str) -> &'static str {
    const PROGRAMS: &[(&str, &str)] = &[
        ("cm-agent", "agents"),
        ("cm", "cm, the controller"),
        ("tokio-rt", "cm, the controller"),
        ("sshd", "sshd"),
        ("sudo", "sudo"),
        ("sh", "the shell that starts the agent"),
        ("systemd", "systemd and its services"),
        ("(sd-", "systemd and its services"),
        ("dbus", "dbus"),
        ("ksoftirqd", "kernel threads"),
        ("kworker", "kernel threads"),
        ("rcu", "kernel threads"),
    ];
    PROGRAMS.iter().find(|(begin, _)| thread.starts_with(begin)).map_or("else", |(_, program)| program)
}

fn program(
    findings: &mut Findings,
    name: &str,
    title: &str,
    parts: &[Part],
    stacks: &mut [Stack],
) -> Result<()> {
    ensure!(!stacks.is_empty(), "perf has no sample of: {title}");
    for stack in stacks.iter_mut() {
        // Threads by number are alike.
        stack.thread = stack.thread.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned();
        stack.tidy();
    }
    let mut table = Table::new(
        format!("{title}: parts ({} samples)", stacks.len()),
        &["part", "share", "of it in the kernel"],
    );
    let all = stacks.len();
    let kernel: Vec<Stack> = stacks.iter().filter(|stack| in_kernel(stack)).cloned().collect();
    let in_kernel = counted(&kernel, |stack| [part(stack, parts)]);
    for (part, count) in counted(stacks, |stack| [part(stack, parts)]) {
        let kernel = in_kernel.iter().find(|(of, _)| *of == part).map_or(0, |(_, count)| *count);
        table.row([part.to_owned(), share(count, all), share(kernel, all)]);
    }
    findings.tables.push(table);
    let own = counted(stacks, |stack| stack.calls.last().map(String::as_str));
    findings.tables.push(shares(&format!("{title}: functions by their own time"), "function", &own, all));
    findings.plots.push(plot(name, &format!("{title}, nothing to change"), stacks));
    Ok(())
}

fn shares(caption: &str, what: &str, counts: &[(&str, usize)], all: usize) -> Table {
    let mut table = Table::new(format!("{caption} ({all} samples)"), &[what, "share"]);
    for (name, count) in counts.iter().take(TOP) {
        let name =
            if what == "program" { (*name).to_owned() } else { format!("`{}`", name.replace('|', "\\|")) };
        table.row([name, share(*count, all)]);
    }
    table
}

fn share(count: usize, all: usize) -> String {
    format!("{:.1} %", exact(count) * 100.0 / exact(all.max(1)))
}

/// A flame graph that is small enough to be kept.
fn plot(name: &str, title: &str, stacks: &[Stack]) -> Plot {
    let whole = fold("all", stacks);
    let mut least = (whole.samples / 500).max(2);
    loop {
        let mut root = whole.clone();
        root.prune(least);
        let plot = Plot::flames(name, title, root);
        if plot.svg().len() <= LARGEST {
            return plot;
        }
        least += least.div_ceil(4);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below the bits of an f64")]
fn exact(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(thread: &str, calls: &[&str]) -> Stack {
        Stack { thread: thread.into(), calls: calls.iter().map(|call| (*call).to_owned()).collect() }
    }

    #[test]
    fn agents_are_told_apart_from_all_else() {
        let read = ["main", "cm_agent::journal::Journal::open", "do_syscall_64 [k]", "ksys_read [k]"];
        let stacks = vec![
            stack("cm-agent-1a", &read),
            stack("cm-agent-2b", &["cm_modules::facts::gather"]),
            stack("sshd", &["main"]),
            stack("swapper", &["idle [k]"]),
        ];
        let mut findings = Findings::default();
        machine(&mut findings, "16 hosts", &stacks);
        assert_eq!(findings.tables[0].rows, [["agents", "66.7 %"], ["sshd", "33.3 %"]]);
        agents(&mut findings, "x", "Agents", stacks).unwrap();
        assert_eq!(findings.tables[1].rows[0][1..], ["50.0 %", "0.0 %"]);
        assert!(findings.tables[1].rows.contains(&vec![
            "journal and what was applied before".into(),
            "50.0 %".into(),
            "50.0 %".into()
        ]));
        assert_eq!(findings.tables[3].rows, [["`ksys_read`", "50.0 %"]]);
        assert!(controller(&mut findings, "x", "Controller", vec![stack("perf-exec", &[])]).is_err());
    }

    #[test]
    fn a_picture_is_kept_small() {
        let stacks: Vec<Stack> = (0..4000)
            .map(|n| {
                stack(
                    "t",
                    &[&format!("{}{}", "long::".repeat(30), n % 900), &format!("{}{n}", "x".repeat(100))],
                )
            })
            .collect();
        assert!(plot("x", "X", &stacks).svg().len() <= LARGEST);
    }
}
