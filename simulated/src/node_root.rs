//! The private root of a node: an overlay over a shared tree, in a mount namespace that ends with the session.
//!
//! Nothing is made ahead but two empty folders a node, so that 5,000 nodes of a hundred files each cost nothing but what
//! they write themselves.

use std::{
    ffi::{CString, OsStr},
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags},
    thread::UnshareFlags,
};

/// Where the roots of nodes are made.
#[derive(Clone, Debug)]
pub struct NodeRoots {
    /// Trees below, topmost first.
    lower: Vec<PathBuf>,
    /// A folder with one folder a node.
    folder: PathBuf,
}

impl NodeRoots {
    /// Roots over these trees, topmost first; what nodes write goes to `folder`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(lower: Vec<PathBuf>, folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(folder.join("root"))?;
        Ok(Self { lower, folder })
    }

    /// Makes a command start in the root of a node.
    ///
    /// # Errors
    /// When the node's folders cannot be made.
    pub fn enter(&self, node: u32, command: &mut Command) -> io::Result<()> {
        let own = self.folder.join(node.to_string());
        let (upper, work) = (own.join("upper"), own.join("work"));
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        let lower: Vec<&OsStr> = self.lower.iter().map(|tree| tree.as_os_str()).collect();
        let mut options = b"lowerdir=".to_vec();
        options.extend(lower.join(OsStr::new(":")).as_bytes());
        for (key, value) in [(",upperdir=", &upper), (",workdir=", &work)] {
            options.extend(key.as_bytes());
            options.extend(value.as_os_str().as_bytes());
        }
        let options = CString::new(options)?;
        let root = path(&self.folder.join("root"))?;
        let proc = path(&self.folder.join("root/proc"))?;
        let enter = move || mount_and_enter(&options, &root, &proc).map_err(io::Error::from);
        #[expect(
            unsafe_code,
            reason = "after the fork nothing but system calls is made: no allocation, no lock"
        )]
        // SAFETY: `mount_and_enter` makes system calls on memory that was prepared before the fork.
        unsafe {
            use std::os::unix::process::CommandExt as _;
            command.pre_exec(enter);
        }
        Ok(())
    }
}

fn path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn mount_and_enter(options: &CString, root: &CString, proc: &CString) -> rustix::io::Result<()> {
    #[expect(unsafe_code, reason = "the only way to a namespace of one's own")]
    // SAFETY: a mount namespace shares nothing that the one thread after a fork relies on.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)?;
    }
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    rustix::mount::mount(c"overlay", root, c"overlay", MountFlags::empty(), Some(options.as_c_str()))?;
    rustix::mount::mount_bind(c"/proc", proc)?;
    rustix::process::chroot(root)?;
    rustix::process::chdir(c"/")
}
