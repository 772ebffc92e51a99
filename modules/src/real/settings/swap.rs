//! Swap areas: /proc/swaps for looks; files made without holes and written with mkswap(8)'s header, then
//! swapon(8) and swapoff(8).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::fs::{FallocateFlags, fallocate};

use super::tool;
use crate::{Doing, Problem, mounted::unescape, real::Real, swap_value::SwapArea};

/// What ends the first page of a swap area.
const SIGNATURE: &[u8; 10] = b"SWAPSPACE2";
/// How much at the start of a device must be empty before it is taken for a new one.
const BLANK: usize = 1 << 20;

fn page() -> usize {
    // SAFETY: sysconf(3) only answers.
    #[expect(unsafe_code, reason = "no safe wrapper is among what the agent carries")]
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// What /proc/swaps says of an area (proc(5)): none where it is not in use.
fn in_use(swaps: &str, path: &Path) -> Option<SwapArea> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let wanted = real(path);
    swaps.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let name = unescape(words.next()?.as_bytes());
        let found = real(Path::new(&name));
        let priority: i32 = words.nth(3)?.parse().ok()?;
        // The kernel counts down from -2 where nobody asked for a priority.
        (found == wanted).then(|| SwapArea { on: true, size: None, priority: u16::try_from(priority).ok() })
    })
}

/// The swap area at a path, none where there is none or what is there holds something else.
fn area(path: &Path) -> io::Result<Option<SwapArea>> {
    let swaps = match fs::read_to_string("/proc/swaps") {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let used = in_use(&swaps, path);
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => meta,
        Ok(_) => return Ok(used),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(used);
        }
        Err(error) => return Err(error),
    };
    let size = Some(meta.len());
    match used {
        Some(used) => Ok(Some(SwapArea { size, ..used })),
        None if has_signature(&File::open(path)?)? => Ok(Some(SwapArea { on: false, size, priority: None })),
        None => Ok(None),
    }
}

fn has_signature(file: &File) -> io::Result<bool> {
    let mut found = [0; SIGNATURE.len()];
    match file.read_exact_at(&mut found, (page() - SIGNATURE.len()) as u64) {
        Ok(()) => Ok(found == *SIGNATURE),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn read(path: &str) -> Result<Option<String>, Problem> {
    let area = area(Path::new(path)).doing(format_args!("looking at the swap area {path}"))?;
    Ok(area.map(|area| area.to_string()))
}

/// Sets an area; taking it away takes its file away, too.
pub(super) fn set(real: &Real, path: &str, value: Option<&str>, deadline: Instant) -> Result<(), Problem> {
    let place = Path::new(path);
    let looking = format!("looking at the swap area {path}");
    let now = area(place).doing(&looking)?;
    let on = now.is_some_and(|now| now.on);
    let Some(value) = value else {
        if on {
            off(real, path, deadline)?;
        }
        if now.is_some_and(|now| now.size.is_some()) {
            remove(place).doing(format_args!("removing {path}"))?;
        }
        return Ok(());
    };
    let wanted = SwapArea::parse(value)
        .ok_or_else(|| Problem::new(format!("{path}: {value:?} is not the state of a swap area")))?;
    let sized = wanted.size.is_none_or(|size| now.and_then(|now| now.size) == Some(size));
    let as_it_is = sized && now.is_some_and(|now| now.priority == wanted.priority);
    if on && !(wanted.on && as_it_is) {
        off(real, path, deadline)?;
    }
    match wanted.size {
        Some(size) if !sized => {
            refuse_other_content(place, now)?;
            make_file(place, size).doing(format_args!("making the swap file {path} of {size} bytes"))?;
        }
        Some(_) => {}
        None => prepare_device(place)?,
    }
    if wanted.on && !(on && as_it_is) {
        let priority = wanted.priority.map(|priority| priority.to_string());
        let mut argv = vec!["swapon"];
        if let Some(priority) = &priority {
            argv.extend(["-p", priority]);
        }
        argv.extend(["--", path]);
        tool::run(real, &format!("swapping on {path}"), &argv, None, deadline)
            .map_err(|problem| explain(problem, path))?;
    }
    Ok(())
}

fn off(real: &Real, path: &str, deadline: Instant) -> Result<(), Problem> {
    tool::run(real, &format!("swapping off {path}"), &["swapoff", "--", path], None, deadline).map_err(
        |problem| {
            if problem.message.contains("Cannot allocate memory") {
                return problem.hint(
                    "what is swapped out there does not fit into memory and other swap: `free` on the node",
                );
            }
            tool::in_container(problem, "swap areas")
        },
    )
}

fn explain(problem: Problem, path: &str) -> Problem {
    if problem.message.contains("Invalid argument") {
        return problem.hint(format!(
            "the file system under {path} does not take swap files, as overlay, tmpfs, ZFS and compressed btrfs do not"
        ));
    }
    tool::in_container(problem, "swap areas")
}

/// A file of somebody else is not written over.
fn refuse_other_content(path: &Path, now: Option<SwapArea>) -> Result<(), Problem> {
    match fs::symlink_metadata(path) {
        Ok(_) if now.is_none() => {
            Err(Problem::new(format!("{} is there and is no swap area", path.display()))
                .hint("move it away, or choose another path for the swap file"))
        }
        _ => Ok(()),
    }
}

/// Makes a whole swap file beside its place, of mode 0600, and puts it there in one step.
fn make_file(path: &Path, size: u64) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".cm-new");
    let beside = folder.join(hidden);
    // One left behind by a run that was cut.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let made = fill(&beside, size).and_then(|()| fs::rename(&beside, path));
    if made.is_err() {
        let _ = fs::remove_file(&beside);
    }
    made?;
    File::open(folder)?.sync_all()
}

fn fill(path: &Path, size: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // A swap file of btrfs must not be copied on write; other file systems do not know the flag.
    if let Ok(flags) = rustix::fs::ioctl_getflags(&file)
        && rustix::fs::statfs(path).is_ok_and(|found| found.f_type as u64 & 0xffff_ffff == 0x9123_683e)
    {
        rustix::fs::ioctl_setflags(&file, flags | rustix::fs::IFlags::NOCOW)?;
    }
    match fallocate(&file, FallocateFlags::empty(), 0, size) {
        Ok(()) => {}
        // It cannot allocate: then every byte is written, since swapon(2) takes no file with holes.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => zeroes(&mut file, size)?,
        Err(error) => return Err(error.into()),
    }
    file.write_all_at(&header(size, &random()?), 0)?;
    file.sync_all()
}

fn zeroes(file: &mut File, size: u64) -> io::Result<()> {
    let chunk = vec![0; BLANK];
    let mut left = size;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(BLANK).min(BLANK);
        file.write_all(&chunk[..part])?;
        left -= part as u64;
    }
    Ok(())
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The first page of a swap area (`union swap_header` of linux/swap.h): version 1, the number of the last
/// page, no bad pages, a UUID.
fn header(size: u64, random: &[u8; 16]) -> Vec<u8> {
    let mut page_bytes = vec![0; page()];
    // The kernel counts pages in 32 bits: 16 TiB with pages of 4 KiB.
    let last = u32::try_from(size / page() as u64 - 1).unwrap_or(u32::MAX);
    page_bytes[1024..1028].copy_from_slice(&1u32.to_ne_bytes());
    page_bytes[1028..1032].copy_from_slice(&last.to_ne_bytes());
    let mut uuid = *random;
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    page_bytes[1036..1052].copy_from_slice(&uuid);
    let end = page() - SIGNATURE.len();
    page_bytes[end..].copy_from_slice(SIGNATURE);
    page_bytes
}

/// A new device gets a header; one that holds something else is refused.
fn prepare_device(path: &Path) -> Result<(), Problem> {
    let looking = format!("looking at {}", path.display());
    let place: PathBuf = fs::canonicalize(path).doing(&looking)?;
    let kind = fs::metadata(&place).doing(&looking)?.file_type();
    if !kind.is_block_device() {
        return Err(
            Problem::new(format!("{} is no block device", path.display())).hint("`size` makes a swap file")
        );
    }
    let mut file = OpenOptions::new().read(true).write(true).open(&place).doing(&looking)?;
    if has_signature(&file).doing(&looking)? {
        return Ok(());
    }
    let mut start = vec![0; BLANK];
    let read = file.read_at(&mut start, 0).doing(&looking)?;
    if start[..read].iter().any(|&byte| byte != 0) {
        return Err(Problem::new(format!(
            "the device {} holds something that is no swap area",
            path.display()
        ))
        .hint(format!(
            "nothing was written; if it is not needed, `wipefs -a {0}` and `mkswap {0}`",
            path.display()
        )));
    }
    let size = file.seek(SeekFrom::End(0)).doing(&looking)?;
    if size < 10 * page() as u64 {
        return Err(Problem::new(format!("the device {} has {size} bytes only", path.display())));
    }
    let write = || {
        file.write_all_at(&header(size, &random()?), 0)?;
        file.sync_all()
    };
    write().doing(format_args!("writing the header of the swap area {}", path.display()))
}

fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_file_is_made_whole_and_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("swap file");
        make_file(&path, 1 << 20).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.len(), meta.permissions().mode() & 0o7777), (1 << 20, 0o600));
        assert!(meta.blocks() * 512 >= 1 << 20, "it has holes");
        assert_eq!(area(&path).unwrap().unwrap().to_string(), "off size=1048576");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // Larger, in the place of the first; and gone again.
        make_file(&path, 2 << 20).unwrap();
        assert_eq!(read(path.to_str().unwrap()).unwrap().unwrap(), "off size=2097152");
        set(&Real::new(), path.to_str().unwrap(), None, Instant::now()).unwrap();
        assert_eq!(area(&path).unwrap(), None);
        assert!(!path.exists());
    }

    #[test]
    fn the_header_is_what_the_kernel_reads() {
        let header = header(64 * page() as u64, &[0xff; 16]);
        let number = |at: usize| u32::from_ne_bytes(*header[at..].first_chunk().unwrap());
        assert_eq!((header.len(), number(1024), number(1028), number(1032)), (page(), 1, 63, 0));
        assert_eq!((header[1042], header[1044]), (0x4f, 0xbf));
        assert!(header.ends_with(SIGNATURE));
    }

    #[test]
    fn a_file_with_zeroes_written_is_as_long_as_wanted() {
        let mut file = tempfile::tempfile().unwrap();
        zeroes(&mut file, (BLANK + 5) as u64).unwrap();
        assert_eq!(file.metadata().unwrap().len(), (BLANK + 5) as u64);
    }

    #[test]
    fn what_is_in_use_is_found_by_its_path() {
        let swaps = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/no/swap\\040file  file\t\t2097148\t\t0\t\t-2\n\
                     /no/second file 1 0 7\n";
        let found = |path: &str| in_use(swaps, Path::new(path)).map(|area| area.to_string());
        assert_eq!(found("/no/swap file").as_deref(), Some("on"));
        assert_eq!(found("/no/second").as_deref(), Some("on priority=7"));
        assert_eq!(found("/no/third"), None);
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, vec![1; 8192]).unwrap();
        let real = Real::new();
        let text = path.to_str().unwrap();
        let problem = set(&real, text, Some("off size=1048576"), Instant::now()).unwrap_err();
        assert!(problem.message.contains("is no swap area"), "{problem}");
        set(&real, text, None, Instant::now()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), vec![1; 8192]);
        // An unused one can be made without the right to swap.
        let other = folder.path().join("other");
        set(&real, other.to_str().unwrap(), Some("off size=1048576"), Instant::now()).unwrap();
        assert_eq!(read(other.to_str().unwrap()).unwrap().unwrap(), "off size=1048576");
    }
}
