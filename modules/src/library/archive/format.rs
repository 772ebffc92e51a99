//! What kind of archive it is, and its members whatever kind that is.

use std::{
    io::{self, Read, Seek},
    os::fd::AsFd,
};

use super::{gzip, members::Visit, tar, zip};
use crate::{
    Context, Problem,
    node::{Command, Source},
};

/// Enough of the beginning to know the kind.
const BEGINNING: usize = 512;

/// How a tar archive is packed, or that it is a zip archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    Tar,
    /// gzip(1), read in this process.
    Gzip,
    /// By a program of the node.
    Program(&'static Program),
    /// zip, read in this process.
    Zip,
}

/// A program that unpacks its input to its output.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    name: &'static str,
    /// The package that has it on Debian.
    package: &'static str,
    magic: &'static [u8],
}

static PROGRAMS: [Program; 3] = [
    Program { name: "xz", package: "xz-utils", magic: b"\xfd7zXZ\0" },
    Program { name: "zstd", package: "zstd", magic: b"\x28\xb5\x2f\xfd" },
    Program { name: "bzip2", package: "bzip2", magic: b"BZh" },
];

impl Format {
    /// Knows the kind by the first bytes; the source is at its beginning again afterwards.
    ///
    /// # Errors
    /// When it cannot be read or is of no known kind.
    pub fn of(source: &mut Source) -> Result<Self, Problem> {
        let mut beginning = Vec::new();
        let read = source.take(BEGINNING as u64).read_to_end(&mut beginning).and_then(|_| source.rewind());
        read.map_err(|error| Problem::new(format!("reading the archive: {error}")))?;
        if beginning.starts_with(b"\x1f\x8b") {
            return Ok(Self::Gzip);
        }
        if beginning.starts_with(b"PK\x03\x04") || beginning.starts_with(b"PK\x05\x06") {
            return Ok(Self::Zip);
        }
        if let Some(program) = PROGRAMS.iter().find(|program| beginning.starts_with(program.magic)) {
            return Ok(Self::Program(program));
        }
        // An empty archive is nothing but zeros.
        if tar::is_header(&beginning)
            || (beginning.len() == BEGINNING && beginning.iter().all(|&byte| byte == 0))
        {
            return Ok(Self::Tar);
        }
        Err(Problem::new("it is no archive of a kind that is known")
            .hint("tar, tar.gz, tar.xz, tar.zst, tar.bz2 and zip can be unpacked"))
    }

    /// Visits every member.
    ///
    /// # Errors
    /// When the archive is damaged, or the node lacks the program for it; what the visitor returns.
    pub fn read(self, context: &Context<'_>, mut source: Source, visit: Visit<'_>) -> Result<(), Problem> {
        match self {
            Self::Tar => tar::read(&mut io::BufReader::with_capacity(64 * 1024, source), visit),
            Self::Gzip => {
                let reader = io::BufReader::with_capacity(64 * 1024, source);
                tar::read(&mut io::BufReader::with_capacity(64 * 1024, gzip::Unpacked::new(reader)), visit)
            }
            Self::Zip => zip::read(&mut source, visit),
            Self::Program(program) => through(program, context, source, visit),
        }
    }
}

/// Reads what a program of the node makes of the archive, as it comes.
fn through(
    program: &Program,
    context: &Context<'_>,
    source: Source,
    visit: Visit<'_>,
) -> Result<(), Problem> {
    let name = program.name;
    let told = |error: io::Error| Problem::new(format!("unpacking by `{name}`: {error}"));
    let input = source.into_descriptor().map_err(told)?;
    let (reader, writer) = io::pipe().map_err(told)?;
    std::thread::scope(|scope| {
        let running = scope.spawn(move || {
            let command = Command {
                input: Some(input.as_fd()),
                output: Some(writer.as_fd()),
                deadline: context.deadline,
                ..Command::query(&[name, "-dc"])
            };
            // The pipe ends with this closure, so the reader sees the end.
            context.node.run(&command)
        });
        let mut reader = io::BufReader::with_capacity(64 * 1024, reader);
        let mut refused = false;
        let visited = tar::read(&mut reader, &mut |member, content| {
            let visited = visit(member, content);
            refused |= visited.is_err();
            visited
        });
        if visited.is_ok() {
            // What follows the end of the archive is still the program's to check.
            let _ = io::copy(&mut reader, &mut io::sink());
        }
        drop(reader);
        let finished = running.join().map_err(|_| Problem::new(format!("unpacking by `{name}` was lost")))?;
        if refused {
            // The program only knows that nobody reads any more.
            return visited;
        }
        match finished {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Problem::new(format!(
                "unpacking this archive needs `{name}` on the node, which is not there"
            ))
            .hint(format!("`- package: {}` before this task installs it", program.package))),
            Err(error) => Err(told(error)),
            Ok(finished) if finished.timed_out => {
                Err(Problem::new(format!("`{name}` did not end in time and was given up"))
                    .hint("`timeout` on the task gives it more time"))
            }
            // A program whose archive ends early fails, too, and says more than the reader.
            Ok(finished) if !finished.success() && !finished.output.stderr.trim().is_empty() => {
                Err(Problem::new(format!("`{name}` could not unpack the archive")).output(finished.output))
            }
            Ok(_) => visited,
        }
    })
}
