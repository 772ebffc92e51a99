//! Feeds damaged inputs to whatever reads what comes from outside, for a short time in every run of the tests
//! and for a long one when asked (`cargo xtask fuzz SECONDS`).
//!
//! Why not libFuzzer: it needs a nightly compiler, and this repository builds with the stable one. Without its
//! coverage, an input is kept for further damage when it makes the reader answer something new.
//!
//! A target fails when the reader panics, takes longer than [`SLOW`], needs more memory than its input explains,
//! or overflows the stack of an ordinary thread. The input is then in `target/fuzz/`; put it into
//! `fuzz/corpus/TARGET/`, where every later run begins with it.

mod corpus;
mod memory;
mod mutate;

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use crate::{corpus::Corpus, mutate::Mutator};

/// An input that takes longer than this hangs; debug builds on a busy machine are meant.
pub const SLOW: Duration = Duration::from_secs(10);
/// Seconds a target runs where `CM_FUZZ_SECONDS` says nothing else.
const SECONDS: f64 = 2.0;
/// The stack of an ordinary thread, in bytes.
const STACK: usize = 2 * 1024 * 1024;
/// Inputs kept for further damage.
const POOL: usize = 2000;

/// What is fuzzed.
#[derive(Clone, Debug)]
pub struct Target {
    /// Names its corpus and its reports.
    pub name: &'static str,
    /// Good inputs to begin with.
    pub seeds: Vec<Vec<u8>>,
    /// What inputs are made of: keywords, brackets, edge cases.
    pub words: &'static [&'static str],
    /// The largest input, in bytes.
    pub largest: usize,
    /// Bytes of memory one byte of input may cost, beside a mebibyte for all.
    pub cost: usize,
}

impl Target {
    /// A target with the usual bounds: inputs of 4 KiB, 2 KiB of memory for each byte of them.
    #[must_use]
    pub fn new(name: &'static str, words: &'static [&'static str]) -> Self {
        Self { name, seeds: Vec::new(), words, largest: 4096, cost: 2048 }
    }

    /// Adds a good input.
    #[must_use]
    pub fn seed(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.seeds.push(input.into());
        self
    }
}

/// Names an answer; a new name makes its input worth keeping. Digits are left out of texts: places and sizes
/// are no news.
#[must_use]
pub fn answer(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.chars().filter(|c| !c.is_ascii_digit()).for_each(|c| c.hash(&mut hasher));
    hasher.finish()
}

/// Feeds `read` for some seconds; it returns the name of its [`answer`].
///
/// # Panics
/// When the reader fails on an input; the message names the file that has it.
pub fn fuzz(target: Target, read: impl Fn(&[u8]) -> u64 + Send + 'static) {
    let seconds = std::env::var("CM_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let name = target.name;
    let corpus = Corpus::open(name);
    let (alive, watched) = channel();
    let work = std::thread::Builder::new().name(format!("fuzz {name}")).stack_size(STACK).spawn(move || {
        let mut inputs = target.seeds.clone();
        inputs.extend(corpus.read());
        let mut session = Session {
            target: &target,
            corpus: &corpus,
            read: &read,
            known: HashSet::new(),
            pool: Vec::new(),
        };
        let mut ran = 0u64;
        for input in inputs {
            let _ = alive.send(());
            session.run(input, true);
        }
        let mut mutator = Mutator::new(seed());
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < until {
            let _ = alive.send(());
            for _ in 0..16 {
                let input = mutator.damage(&session.pool, target.words, target.largest);
                session.run(input, false);
                ran += 1;
            }
        }
        (ran, session.known.len())
    });
    let work = work.expect("a thread can be started");
    loop {
        match watched.recv_timeout(SLOW) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{name}: an input takes longer than {SLOW:?}: {}", Corpus::last(name).display())
            }
        }
    }
    match work.join() {
        Ok((ran, known)) => assert!(ran > 0 && known > 0, "{name}: nothing was tried"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

struct Session<'a> {
    target: &'a Target,
    corpus: &'a Corpus,
    read: &'a dyn Fn(&[u8]) -> u64,
    known: HashSet<u64>,
    pool: Vec<Vec<u8>>,
}

impl Session<'_> {
    fn run(&mut self, input: Vec<u8>, keep: bool) {
        self.corpus.note(&input);
        let limit = (1 << 20) + self.target.cost * input.len();
        memory::reset();
        let answer = catch_unwind(AssertUnwindSafe(|| (self.read)(&input)));
        let peak = memory::peak();
        let name = self.target.name;
        let answer = match answer {
            Ok(answer) => answer,
            Err(panic) => {
                let file = self.corpus.save(&input);
                eprint_file(name, &file);
                std::panic::resume_unwind(panic);
            }
        };
        if peak > limit {
            let file = self.corpus.save(&input);
            panic!("{name}: {peak} bytes of memory for {} of input: {}", input.len(), file.display());
        }
        let new = self.known.insert(answer);
        if (new || keep) && self.pool.len() < POOL {
            self.pool.push(input);
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "only tests call this, and a panic of the reader does not name the input"
)]
fn eprint_file(name: &str, file: &std::path::Path) {
    eprintln!("{name}: the input is {}", file.display());
}

/// The same numbers in every run, unless `CM_FUZZ_SEED` gives others.
fn seed() -> u64 {
    std::env::var("CM_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::new("selftest", &["ab", "("]).seed("abc")
    }

    #[test]
    fn finds_a_panic_behind_a_word() {
        let found = catch_unwind(|| {
            fuzz(target(), |input| {
                assert!(!input.windows(4).any(|part| part == b"(ab("), "found");
                answer(&String::from_utf8_lossy(input))
            });
        });
        assert!(found.is_err());
    }

    #[test]
    fn finds_memory_that_the_input_does_not_explain() {
        let found = catch_unwind(|| {
            fuzz(target(), |input| {
                let greedy = if input.first() == Some(&b'(') { 64 << 20 } else { 1 };
                std::hint::black_box(vec![0u8; greedy]).len() as u64
            });
        });
        assert!(found.is_err());
    }
}
