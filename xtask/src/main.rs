//! What a developer or a new user runs: `cargo xtask demo`, `cargo xtask test`, `cargo xtask bench`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod ansible;
mod bench;
mod counts;
mod demo;
mod fuzz;
mod packages;
mod shell;
mod supply_chain;
mod test;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["demo"] => demo::run(),
        ["test"] => test::run(None),
        ["test", only] => test::run(Some(only)),
        ["fuzz"] => fuzz::run("60"),
        ["fuzz", seconds] => fuzz::run(seconds),
        ["bench", words @ ..] => bench::run(words),
        ["counts", "--accept"] => counts::accept(),
        ["packages"] => packages::install(packages::ALL),
        ["ansible"] => ansible::prepare(),
        _ => {
            eprintln!(
                "usage: cargo xtask demo             set up, boot a three-host lab, run the main job\n       \
                 cargo xtask test [STEP]     all checks and tests, real hosts included; steps: {}\n       \
                 cargo xtask fuzz [SECONDS] damaged inputs for all readers, that long for each (60)\n       \
                 cargo xtask bench [--quick] [SECTION...]  measure against ssh, apt and other tools; --help lists all\n       \
                 cargo xtask counts --accept keep the instruction counts of now as those that `test counts` compares with\n       \
                 cargo xtask packages        only install the Debian packages that lab and tests need\n       \
                 cargo xtask ansible         only install what inventories of Ansible are compared with",
                test::names().join(", ")
            );
            std::process::exit(2);
        }
    };
    if let Err(error) = done {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}
