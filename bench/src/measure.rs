//! What programs cost: wall time, processor time and memory, as the kernel counts them for wait4(2).

use std::{
    io::Read as _,
    os::fd::AsRawFd as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// What something cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// From the start of the first program to the end of the last.
    pub wall: Duration,
    /// User and system time of the programs, their threads, and all children that they waited for.
    pub cpu: Duration,
    /// The most memory that one of the processes had at a time, in KiB (resident; shared libraries and all).
    /// Never less than what this program has itself at the start, of which each child is a copy for a moment.
    pub peak_kib: u64,
}

/// How one program of several ended.
#[derive(Debug)]
pub struct Ended {
    /// What it cost.
    pub cost: Cost,
    /// Its exit status; none where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout and stderr, in the order it came.
    pub output: String,
}

/// Runs a program to its end; any other exit status than these is an error that shows what it wrote.
///
/// # Errors
/// It cannot be started, or ends with another status.
pub fn run(command: &mut Command, expected: &[i32]) -> Result<Cost> {
    let line = shown(command);
    let ended = spawn(command)?.wait()?;
    check(&line, &ended, expected)?;
    Ok(ended.cost)
}

/// Runs a program to its end, however that is.
///
/// # Errors
/// It cannot be started.
pub fn run_to_end(command: &mut Command) -> Result<Ended> {
    spawn(command)?.wait()
}

/// Runs programs all at once until the last has ended; each must succeed. The first answer is what all cost
/// together, the second what each did.
///
/// # Errors
/// One cannot be started or fails.
pub fn run_together(commands: Vec<Command>) -> Result<(Cost, Vec<Cost>)> {
    let lines: Vec<String> = commands.iter().map(shown).collect();
    let began = Instant::now();
    let running: Vec<Running> =
        commands.into_iter().map(|mut command| spawn(&mut command)).collect::<Result<_>>()?;
    let ended: Vec<Result<Ended>> = thread::scope(|scope| {
        let waiting: Vec<_> = running.into_iter().map(|one| scope.spawn(|| one.wait())).collect();
        waiting
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let wall = began.elapsed();
    let mut all = Cost { wall, ..Cost::default() };
    let mut each = Vec::new();
    for (line, ended) in lines.iter().zip(ended) {
        let ended = ended?;
        check(line, &ended, &[0])?;
        all.cpu += ended.cost.cpu;
        all.peak_kib = all.peak_kib.max(ended.cost.peak_kib);
        each.push(ended.cost);
    }
    Ok((all, each))
}

fn check(line: &str, ended: &Ended, expected: &[i32]) -> Result<()> {
    if ended.code.is_some_and(|code| expected.contains(&code)) {
        return Ok(());
    }
    let lines: Vec<&str> = ended.output.lines().collect();
    let last = lines[lines.len().saturating_sub(40)..].join("\n");
    let status = ended.code.map_or_else(|| "a signal".to_owned(), |code| format!("status {code}"));
    bail!("`{line}` ended with {status}, not with {expected:?}:\n{last}");
}

struct Running {
    pid: libc::pid_t,
    began: Instant,
    output: std::fs::File,
}

fn spawn(command: &mut Command) -> Result<Running> {
    // A file, not a pipe: nobody has to read while the time runs.
    let output = tempfile::tempfile().context("a temporary file cannot be made")?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    cm_simulated::forget_peak();
    let began = Instant::now();
    let child = command.spawn().with_context(|| format!("`{}` could not be started", shown(command)))?;
    let pid = libc::pid_t::try_from(child.id()).context("a process id is a pid_t")?;
    Ok(Running { pid, began, output })
}

impl Running {
    fn wait(self) -> Result<Ended> {
        let (code, cpu, peak_kib) = wait4(self.pid)?;
        let cost = Cost { wall: self.began.elapsed(), cpu, peak_kib };
        Ok(Ended { cost, code, output: written(&self.output)? })
    }
}

/// All that was written to a file that children wrote to, from its beginning.
fn written(file: &std::fs::File) -> Result<String> {
    // By its name in /proc it is opened anew: the position of the children's is theirs.
    let mut bytes = Vec::new();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::File::open(path)?.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Waits for a child of ours that nobody else waits for.
#[expect(unsafe_code, reason = "the standard library does not tell what a child cost")]
fn wait4(pid: libc::pid_t) -> Result<(Option<i32>, Duration, u64)> {
    let mut status = 0;
    // SAFETY: all zeros is a value of this struct of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to values of ours that live on.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == pid {
            break;
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error).context("waiting for a child");
        }
    }
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    let peak = u64::try_from(usage.ru_maxrss).unwrap_or(0);
    Ok((code, duration(usage.ru_utime) + duration(usage.ru_stime), peak))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let microseconds = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(microseconds)
}

/// The command as one would type it, without the folder of its program.
#[must_use]
pub fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:@+%".contains(c);
            if !word.is_empty() && word.chars().all(plain) {
                word.into_owned()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Two things measured in turn, so that what the machine does beside strikes both.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// What the first cost, round by round.
    pub a: Vec<Cost>,
    /// What the second cost.
    pub b: Vec<Cost>,
}

/// Measures two things in turn, `rounds` times: A B, B A, A B, … What must be prepared is done in the closures
/// before they measure.
///
/// # Errors
/// The first error of either.
pub fn alternate(
    rounds: usize,
    mut a: impl FnMut() -> Result<Cost>,
    mut b: impl FnMut() -> Result<Cost>,
) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    for round in 0..rounds {
        // Each is the first as often as the other: what one leaves behind is nobody's advantage.
        if round % 2 == 0 {
            comparison.a.push(a()?);
            comparison.b.push(b()?);
        } else {
            comparison.b.push(b()?);
            comparison.a.push(a()?);
        }
    }
    Ok(comparison)
}

/// A ratio with the least and the greatest of its rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The median of the rounds' ratios.
    pub median: f64,
    /// The least and the greatest.
    pub spread: (f64, f64),
}

impl Comparison {
    /// Wall time of A to wall time of B.
    #[must_use]
    pub fn wall_ratio(&self) -> Ratio {
        self.ratio(|cost| cost.wall.as_secs_f64())
    }

    /// Processor time of A to processor time of B.
    #[must_use]
    pub fn cpu_ratio(&self) -> Ratio {
        self.ratio(|cost| cost.cpu.as_secs_f64())
    }

    fn ratio(&self, figure: impl Fn(&Cost) -> f64) -> Ratio {
        let ratios: Vec<f64> =
            self.a.iter().zip(&self.b).map(|(a, b)| figure(a) / figure(b).max(1e-6)).collect();
        Ratio { median: median(&ratios), spread: spread(&ratios) }
    }
}

/// The median of each of the figures.
#[must_use]
pub fn typical(costs: &[Cost]) -> Cost {
    let of = |figure: fn(&Cost) -> f64| median(&costs.iter().map(figure).collect::<Vec<_>>());
    Cost {
        wall: Duration::from_secs_f64(of(|cost| cost.wall.as_secs_f64())),
        cpu: Duration::from_secs_f64(of(|cost| cost.cpu.as_secs_f64())),
        peak_kib: costs.iter().map(|cost| cost.peak_kib).max().unwrap_or(0),
    }
}

/// The figure in the middle; of an even number of figures, what is between the two in the middle. 0 of none.
#[must_use]
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// The least and the greatest; zeros of none.
#[must_use]
pub fn spread(figures: &[f64]) -> (f64, f64) {
    let least = figures.iter().copied().min_by(f64::total_cmp).unwrap_or(0.0);
    (least, figures.iter().copied().max_by(f64::total_cmp).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn cost(wall: u64, cpu: u64) -> Cost {
        Cost { wall: Duration::from_secs(wall), cpu: Duration::from_secs(cpu), peak_kib: wall }
    }

    #[test]
    fn a_program_costs_what_its_children_cost() {
        let busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let nothing = run(&mut sh("true"), &[0]).unwrap();
        let child = run(&mut sh(&format!("/bin/sh -c '{busy}'; true")), &[0]).unwrap();
        assert!(child.cpu > nothing.cpu, "{child:?} {nothing:?}");
        assert!(child.wall >= Duration::from_millis(1) && child.peak_kib > 100);
    }

    #[test]
    fn a_failure_shows_the_command_and_what_it_wrote_to_both() {
        let error = run(&mut sh("echo one; echo two >&2; exit 3"), &[0, 2]).unwrap_err().to_string();
        assert_eq!(
            error,
            "`sh -c 'echo one; echo two >&2; exit 3'` ended with status 3, not with [0, 2]:\none\ntwo"
        );
        assert!(run(&mut sh("exit 2"), &[0, 2]).is_ok());
        let killed = run(&mut sh("kill -9 $$"), &[0]).unwrap_err().to_string();
        assert!(killed.contains("ended with a signal"), "{killed}");
    }

    #[test]
    fn programs_run_at_the_same_time() {
        // Each waits for a line of the other: one after the other they would never end.
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        run(Command::new("mkfifo").arg(&fifo), &[0]).unwrap();
        let path = fifo.display();
        let (all, each) =
            run_together(vec![sh(&format!("read x < {path}")), sh(&format!("echo x > {path}"))]).unwrap();
        assert_eq!(each.len(), 2);
        assert!(each.iter().all(|one| one.wall <= all.wall));
        assert_eq!(all.cpu, each[0].cpu + each[1].cpu);
    }

    #[test]
    fn rounds_are_taken_in_turn_and_compared_pair_by_pair() {
        let order = std::cell::RefCell::new(String::new());
        let walls = std::cell::Cell::new(0);
        let take = |name: char, factor: u64| {
            order.borrow_mut().push(name);
            walls.set(walls.get() + 1);
            Ok(cost(factor * 10, factor))
        };
        let comparison = alternate(3, || take('a', 1), || take('b', 2)).unwrap();
        assert_eq!(*order.borrow(), "abbaab");
        assert_eq!(comparison.wall_ratio(), Ratio { median: 0.5, spread: (0.5, 0.5) });
        let uneven = Comparison { a: vec![cost(1, 1), cost(9, 3), cost(4, 8)], b: vec![cost(2, 1); 3] };
        assert_eq!(uneven.wall_ratio(), Ratio { median: 2.0, spread: (0.5, 4.5) });
        assert_eq!(uneven.cpu_ratio(), Ratio { median: 3.0, spread: (1.0, 8.0) });
        assert_eq!(typical(&uneven.a), Cost { peak_kib: 9, ..cost(4, 3) });
    }

    #[test]
    fn medians_of_few_figures() {
        assert_eq!(
            [median(&[]), median(&[3.0]), median(&[4.0, 1.0]), median(&[9.0, 1.0, 2.0])],
            [0.0, 3.0, 2.5, 2.0]
        );
    }
}
