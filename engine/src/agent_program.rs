//! The agent's program for each architecture: the one inside `cm`, and those in `agents/<arch>/cm-agent`.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use cm_wire::Digest;

/// One program of the agent.
#[derive(Clone)]
pub struct AgentProgram {
    /// The digest of the program; also its name on the node.
    pub digest: Digest,
    /// Its size in bytes, unpacked.
    pub size: usize,
    gz: Packed,
    tight: Option<Tight>,
}

/// What only a build of `cm` takes the time to make.
#[derive(Clone)]
struct Tight {
    xz: Packed,
    deb: Packed,
}

/// Bytes that lie in the program `cm` itself, or were packed now; never copied.
type Packed = Arc<Cow<'static, [u8]>>;

/// How a program travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Raw,
    /// Packed by gzip.
    Gz,
    /// Packed by xz.
    Xz,
    /// Packed by xz in a Debian package: dpkg unpacks it where there is no xz.
    Deb,
}

impl Form {
    /// Its name in what node and controller say to each other.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Gz => "gz",
            Self::Xz => "xz",
            Self::Deb => "deb",
        }
    }
}

impl AgentProgram {
    /// The smallest form that a node can unpack which says that it knows these (`raw,gz,deb,xz`), and its bytes.
    ///
    /// # Errors
    /// When what was packed is damaged.
    pub fn smallest(&self, known: &str) -> io::Result<(Form, Cow<'_, [u8]>)> {
        let knows = |form: Form| known.split(',').any(|word| word == form.word());
        match &self.tight {
            Some(tight) if knows(Form::Xz) => Ok((Form::Xz, Cow::Borrowed(&**tight.xz))),
            Some(tight) if knows(Form::Deb) => Ok((Form::Deb, Cow::Borrowed(&**tight.deb))),
            _ if knows(Form::Gz) => Ok((Form::Gz, Cow::Borrowed(&**self.gz))),
            _ => Ok((Form::Raw, Cow::Owned(self.unpacked()?))),
        }
    }

    /// Unpacked.
    ///
    /// # Errors
    /// When what was packed is damaged.
    pub fn unpacked(&self) -> io::Result<Vec<u8>> {
        let mut program = Vec::with_capacity(self.size);
        flate2::read::GzDecoder::new(&self.gz[..]).read_to_end(&mut program)?;
        Ok(program)
    }
}

/// The agents this `cm` can send, by architecture as `uname -m` names it.
#[derive(Clone, Default)]
pub struct AgentPrograms {
    by_arch: BTreeMap<String, AgentProgram>,
    searched: Vec<PathBuf>,
}

impl AgentPrograms {
    /// The program inside `cm`, and those in these folders (`<folder>/<arch>/cm-agent`), first found first taken.
    ///
    /// # Errors
    /// When a program that is there cannot be read.
    pub fn load(folders: &[PathBuf]) -> io::Result<Self> {
        let mut programs = Self { by_arch: BTreeMap::new(), searched: folders.to_vec() };
        if let Ok(digest) = env!("CM_AGENT_DIGEST").parse() {
            let size = env!("CM_AGENT_SIZE").parse().unwrap_or(0);
            let gz: &'static [u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cm-agent.gz"));
            let xz: &'static [u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cm-agent.xz"));
            let deb: &'static [u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cm-agent.deb"));
            let packed = |bytes| Arc::new(Cow::Borrowed(bytes));
            let tight = Some(Tight { xz: packed(xz), deb: packed(deb) });
            let program = AgentProgram { digest, size, gz: packed(gz), tight };
            programs.by_arch.insert(env!("CM_AGENT_ARCH").to_owned(), program);
        }
        for folder in folders {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                let arch = entry.file_name().to_string_lossy().into_owned();
                let file = entry.path().join("cm-agent");
                if !programs.by_arch.contains_key(&arch) && file.is_file() {
                    programs.by_arch.insert(arch, pack(&file)?);
                }
            }
        }
        Ok(programs)
    }

    /// The program for an architecture.
    #[must_use]
    pub fn for_arch(&self, arch: &str) -> Option<&AgentProgram> {
        self.by_arch.get(arch)
    }

    /// All programs.
    pub fn all(&self) -> impl Iterator<Item = &AgentProgram> {
        self.by_arch.values()
    }

    /// Where programs for other architectures were looked for.
    #[must_use]
    pub fn searched(&self) -> &[PathBuf] {
        &self.searched
    }
}

fn pack(file: &Path) -> io::Result<AgentProgram> {
    let program = fs::read(file)?;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&program)?;
    let gz = Arc::new(Cow::Owned(packer.finish()?));
    Ok(AgentProgram { digest: Digest::of(&program), size: program.len(), gz, tight: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_form_that_a_node_knows_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("program"), "the program").unwrap();
        let mut program = pack(&folder.path().join("program")).unwrap();
        assert_eq!(program.smallest("raw,gz,xz").unwrap().0, Form::Gz);
        let packed = |bytes: &'static [u8]| Arc::new(Cow::Borrowed(bytes));
        program.tight = Some(Tight { xz: packed(b"packed"), deb: packed(b"wrapped") });
        assert_eq!(program.smallest("raw,gz,deb,xz").unwrap(), (Form::Xz, Cow::Borrowed(&b"packed"[..])));
        assert_eq!(program.smallest("raw,gz,deb").unwrap(), (Form::Deb, Cow::Borrowed(&b"wrapped"[..])));
        assert_eq!(program.smallest("raw,gz").unwrap().0, Form::Gz);
        assert_eq!(program.smallest("raw").unwrap(), (Form::Raw, Cow::Borrowed(&b"the program"[..])));
        assert_eq!(program.smallest("anything").unwrap().0, Form::Raw);
    }

    /// Only a release build carries the agent as it travels.
    #[test]
    fn a_released_agent_is_small_on_the_wire() {
        let limit = match env!("CM_AGENT_PROFILE") {
            "smallest" | "agent" => 1_000_000,
            _ => return,
        };
        let programs = AgentPrograms::load(&[]).unwrap();
        for program in programs.all() {
            for known in ["raw,gz,xz", "raw,gz,deb"] {
                let (form, bytes) = program.smallest(known).unwrap();
                assert!(bytes.len() < limit, "{} bytes as {}", bytes.len(), form.word());
            }
        }
    }
}
