//! The agent's program for each architecture: the one inside `cm`, and those in `agents/<arch>/cm-agent`.

use std::{
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
    packed: Arc<[u8]>,
}

impl AgentProgram {
    /// Packed by gzip, as it is sent to nodes that can unpack it.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// Unpacked.
    ///
    /// # Errors
    /// When what was packed is damaged.
    pub fn unpacked(&self) -> io::Result<Vec<u8>> {
        let mut program = Vec::with_capacity(self.size);
        flate2::read::GzDecoder::new(&self.packed[..]).read_to_end(&mut program)?;
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
            let packed: &'static [u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cm-agent.gz"));
            let program = AgentProgram { digest, size, packed: packed.into() };
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
    Ok(AgentProgram { digest: Digest::of(&program), size: program.len(), packed: packer.finish()?.into() })
}
