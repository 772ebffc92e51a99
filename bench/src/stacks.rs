//! Call stacks as `perf script -F comm,tid,ip,sym,dso` writes them.

use std::collections::{BTreeMap, BTreeSet};

use crate::flame::{Frame, KERNEL};

/// A sample: which thread, and what was on its stack, the outermost call first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// The thread's name.
    pub thread: String,
    /// The functions. The kernel's end with [`KERNEL`].
    pub calls: Vec<String>,
}

/// What stands where perf knows no function.
pub const UNKNOWN: &str = "[unknown]";

impl Stack {
    /// Leaves out what says nothing: functions without a name, every stack's way into the kernel, and the outer calls by
    /// which threads, runtimes and C begin anything. So stacks that perf could not follow to their end are as the others.
    pub fn tidy(&mut self) {
        self.calls.retain(|call| {
            call.strip_suffix(KERNEL).unwrap_or(call) != UNKNOWN
                && !ENTRIES
                    .iter()
                    .any(|entry| call.strip_suffix(KERNEL).is_some_and(|name| name.starts_with(entry)))
        });
        let says = self.calls.iter().position(|call| !begins_all(call)).unwrap_or(self.calls.len());
        // Where nothing else was called, the last of them was at work.
        let kernel_next = self.calls.get(says).is_none_or(|call| call.ends_with(KERNEL));
        self.calls.drain(..says.saturating_sub(usize::from(kernel_next)));
    }
}

/// How the names begin of what is on the way into the kernel, whatever it is asked for.
const ENTRIES: &[&str] = &[
    "entry_SYSCALL",
    "do_syscall_64",
    "x64_sys_call",
    "el0t_64_sync",
    "el0_svc",
    "do_el0_svc",
    "invoke_syscall",
];

/// Whether every stack begins with such functions.
fn begins_all(call: &str) -> bool {
    const C: &[&str] = &["_start", "main", "frame_dummy", "clone3", "__clone3", "start_thread"];
    C.contains(&call)
        || call.starts_with("__libc_start")
        || (call != "std::thread::functions::available_parallelism"
            && krate(call).is_some_and(|of| ["std", "core", "alloc", "tokio", "__rustc"].contains(&of)))
}

/// Reads perf's text. What is not of its form is left out.
#[must_use]
pub fn read(text: &str) -> Vec<Stack> {
    let mut stacks: Vec<Stack> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            if let (Some(stack), Some(call)) = (stacks.last_mut(), call(line)) {
                stack.calls.push(call);
            }
        } else {
            let (thread, _) = line.trim_end().rsplit_once(' ').unwrap_or((line, ""));
            stacks.push(Stack { thread: thread.trim().to_owned(), calls: Vec::new() });
        }
    }
    stacks.iter_mut().for_each(|stack| stack.calls.reverse());
    stacks
}

/// `ffffffff816216f7 do_syscall_64 ([kernel.kallsyms])`
fn call(line: &str) -> Option<String> {
    let (_, rest) = line.trim().split_once(' ')?;
    let (name, object) = rest.rsplit_once(" (")?;
    let name = name.trim();
    let kernel = object.starts_with('[') && !object.starts_with("[vdso") && !object.starts_with("[unknown");
    Some(if kernel { format!("{name}{KERNEL}") } else { without_hash(name).to_owned() })
}

/// A Rust name without what the compiler puts behind it: `a::b::h0123456789abcdef`.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((before, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            before
        }
        _ => name,
    }
}

/// All stacks as a tree, threads at its root.
#[must_use]
pub fn fold(program: &str, stacks: &[Stack]) -> Frame {
    let mut root = Frame::root(program);
    for stack in stacks {
        root.count(std::iter::once(stack.thread.as_str()).chain(stack.calls.iter().map(String::as_str)));
    }
    root
}

/// In how many stacks each is that `named` finds in one; one that is there twice counts once. The most frequent first.
pub fn counted<'a, I: IntoIterator<Item = &'a str>>(
    stacks: &'a [Stack],
    named: impl Fn(&'a Stack) -> I,
) -> Vec<(&'a str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for stack in stacks {
        for name in named(stack).into_iter().collect::<BTreeSet<_>>() {
            *counts.entry(name).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// The crate that a function is of: `cm_plan` of `<cm_plan::A as core::fmt::Display>::fmt`. None of C and assembly.
#[must_use]
pub fn krate(name: &str) -> Option<&str> {
    let (first, _) = name.split_once("::")?;
    let first = first.trim_start_matches(['<', '&', '[', '(', '*']);
    let first = first.rsplit(' ').next().unwrap_or(first);
    let first = first.split('[').next().unwrap_or(first);
    (!first.is_empty() && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        .then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
cm  4242 
\tffffffff816216f7 do_syscall_64 ([kernel.kallsyms])
\t          28c83d cm_plan::compile::h0123456789abcdef (/tmp/a b/cm)
\t          28c8aa main (/tmp/a b/cm)

tokio worker 1  4243 
\t           9a200 [unknown] (/usr/lib/libc.so.6)

";

    #[test]
    fn perf_is_read_with_threads_and_the_outermost_call_first() {
        let stacks = read(TEXT);
        assert_eq!(stacks.len(), 2);
        assert_eq!(stacks[0].thread, "cm");
        assert_eq!(stacks[0].calls, ["main", "cm_plan::compile", "do_syscall_64 [k]"]);
        assert_eq!(stacks[1].thread, "tokio worker 1");
        assert_eq!(stacks[1].calls, [UNKNOWN]);
        assert_eq!(fold("x", &stacks).samples, 2);
    }

    #[test]
    fn whole_and_cut_stacks_are_told_alike() {
        let tidied = |calls: &[&str]| {
            let calls = calls.iter().map(|call| (*call).to_owned()).collect();
            let mut stack = Stack { thread: "t".into(), calls };
            stack.tidy();
            stack.calls
        };
        let wanted = ["russh::run", "core::poll", "send", "tcp_sendmsg [k]"];
        let inner = ["russh::run", "core::poll", "send", "do_syscall_64 [k]", "tcp_sendmsg [k]"];
        assert_eq!(tidied(&[&[UNKNOWN], &inner[..]].concat()), wanted);
        assert_eq!(tidied(&[&["clone3", "start_thread", "<tokio::A as B>::c"], &inner[..]].concat()), wanted);
        assert_eq!(tidied(&["main", "tokio::run", "tokio::park", "futex [k]"]), ["tokio::park", "futex [k]"]);
        assert_eq!(tidied(&["main", "tokio::run"]), ["tokio::run"]);
        assert_eq!(tidied(&["do_exit [k]"]), ["do_exit [k]"]);
        assert!(tidied(&[UNKNOWN]).is_empty());
    }

    #[test]
    fn a_function_that_calls_itself_counts_once() {
        let stack = Stack { thread: "t".into(), calls: vec!["a".into(), "b".into(), "a".into()] };
        let stacks = [stack.clone(), Stack { calls: vec!["a".into()], ..stack }];
        let counts = counted(&stacks, |stack| stack.calls.iter().map(String::as_str));
        assert_eq!(counts, [("a", 2), ("b", 1)]);
    }

    #[test]
    fn crates_of_names() {
        assert_eq!(krate("cm_plan::compile"), Some("cm_plan"));
        assert_eq!(krate("<cm_wire::A as core::fmt::Display>::fmt"), Some("cm_wire"));
        assert_eq!(krate("<alloc[12ab]::vec::Vec<u8>>::push"), Some("alloc"));
        assert_eq!(krate("<&mut russh::A as B>::c"), Some("russh"));
        assert_eq!(krate("x25519_scalar_mult"), None);
    }
}
