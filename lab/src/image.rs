//! Base images: built once for each release and recipe, kept in a cache, shared by all hosts as the lower
//! layer of their overlays.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::apt_access::AptAccess;
use crate::cgroup::HostCgroup;
use crate::command::{CommandError, command_line, last_lines, run_with_input, tool};
use crate::error::LabError;
use crate::files::{FileLock, failed, make_folder, write};
use crate::mounts::remove_folder;
use crate::packages;
use crate::progress::Progress;
use crate::record;
use crate::requirements::hierarchies;
use crate::spec::Release;

/// Where images are kept.
pub const IMAGE_CACHE: &str = "/var/cache/cm-lab";

/// What the images hold beside Debian's essential packages. No Python: hosts prove that none is needed.
const PACKAGES: &str =
    "systemd-sysv,dbus,openssh-server,sudo,iproute2,procps,curl,ca-certificates,debian-archive-keyring";

const CUSTOMIZE: &str = include_str!("image/customize.sh");

/// A built image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The root of the tree; nothing writes to it any more.
    pub(crate) root: PathBuf,
    /// The source lines that worked for building it.
    pub(crate) sources: Vec<String>,
}

/// Builds the image of a release unless it is there already, so that a later [`crate::up()`] finds it.
///
/// # Errors
/// What is missing on this machine, or the step of the build that failed.
pub fn build_image(release: Release, progress: &mut dyn FnMut(Progress)) -> Result<(), LabError> {
    crate::requirements().map_err(LabError::Missing)?;
    ensure(release, progress).map(drop)
}

/// The tree of a release's image, which nothing may write to; built now if it is not there.
///
/// # Errors
/// As [`build_image`].
pub fn image_tree(release: Release, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, LabError> {
    crate::requirements().map_err(LabError::Missing)?;
    Ok(ensure(release, progress)?.root)
}

/// Where the image's tree lies or will lie.
pub(crate) fn root_path(release: Release) -> PathBuf {
    Path::new(IMAGE_CACHE).join(format!("{}-{}", release.name(), key())).join("root")
}

/// The image of a release, built now if it is not there.
pub(crate) fn ensure(release: Release, progress: &mut dyn FnMut(Progress)) -> Result<Image, LabError> {
    let began = Instant::now();
    let cache = Path::new(IMAGE_CACHE);
    make_folder(cache, 0o755)?;
    let name = format!("{}-{}", release.name(), key());
    let place = cache.join(&name);
    // Two labs that start together build an image once.
    let _lock = FileLock::wait(&cache.join(format!(".{}.lock", release.name())))?;
    let cached = place.join("complete").exists();
    if !cached {
        progress(Progress::BuildingImage { release });
        build(release, &name, &place)?;
        remove_outdated(release, &name);
    }
    progress(Progress::ImageReady { release, cached, took: began.elapsed() });
    let list = place.join("sources");
    let sources = fs::read_to_string(&list).map_err(failed("read", &list))?;
    Ok(Image { root: place.join("root"), sources: sources.lines().map(str::to_owned).collect() })
}

/// A digest of all that makes an image what it is.
fn key() -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [PACKAGES, CUSTOMIZE, std::env::consts::ARCH].into_iter().chain(packages::ingredients()) {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize().to_hex()[..12].to_owned()
}

fn build(release: Release, name: &str, place: &Path) -> Result<(), LabError> {
    let building = place.with_file_name(format!("{name}.building"));
    // A build that was killed leaves processes and a folder; the lock says that nobody uses them.
    let cgroup = HostCgroup::new(hierarchies()?, format!("cm-lab-build-{}", release.name()));
    cgroup.kill("images", Duration::from_secs(10))?;
    remove_folder("images", &building)?;
    make_folder(&building, 0o755)?;
    cgroup.create()?;
    let built = build_in(release, &building, &cgroup);
    cgroup.remove()?;
    let sources = match built {
        Ok(sources) => sources,
        Err(error) => {
            // The log is kept where the error says; the tree is of no use.
            remove_folder("images", &building)?;
            return Err(error);
        }
    };
    write(&building.join("sources"), sources.join("\n").as_bytes(), 0o644)?;
    write(&building.join("complete"), b"", 0o644)?;
    remove_folder("images", place)?;
    fs::rename(&building, place).map_err(failed("rename", &building))
}

fn build_in(release: Release, building: &Path, cgroup: &HostCgroup) -> Result<Vec<String>, LabError> {
    let root = building.join("root");
    let log = Path::new(IMAGE_CACHE).join(format!("{}.log", release.name()));
    let broken = |source| LabError::Image { release, log: log.clone(), source };
    let access = AptAccess::of_this_machine();
    let mut sources = access.source_lines(release, false);
    if let Err(error) = bootstrap(release, &sources, &access, &root, cgroup, &log) {
        // Mirrors drop the update and security suites of old releases before the release itself.
        sources = access.source_lines(release, true);
        remove_folder("images", &root)?;
        bootstrap(release, &sources, &access, &root, cgroup, &log).map_err(|_| broken(error))?;
    }
    packages::build_repository(&root, &building.join("packages"))?;
    let shell = ["--", &root.to_string_lossy(), "/bin/sh", "-s"];
    run_with_input("chroot", &shell[1..], CUSTOMIZE).map_err(broken)?;
    remove_folder("images", &building.join("packages"))?;
    Ok(sources)
}

/// Runs mmdebstrap with all output in a log, in a cgroup where the next build finds what was left of it.
fn bootstrap(
    release: Release,
    sources: &[String],
    access: &AptAccess,
    root: &Path,
    cgroup: &HostCgroup,
    log: &Path,
) -> Result<(), CommandError> {
    let mut command = tool("sh");
    command.arg("-c").arg(
        "log=$1; shift; while [ \"$1\" != -- ]; do echo $$ > \"$1\"; shift; done; shift; exec \"$@\" > \"$log\" 2>&1",
    );
    command.arg("sh").arg(log).args(cgroup.entrances("machine")).arg("--");
    // What it mounts in the tree is gone with it, however it ends.
    command.args(["unshare", "--mount", "--propagation", "private", "mmdebstrap", "--mode=root"]);
    command.arg("--variant=minbase").arg(format!("--include={PACKAGES}"));
    command.args(access.settings.iter().map(|line| format!("--aptopt={}", line.trim_end_matches(';'))));
    // Passwords of the package source; `customize.sh` takes them out again.
    if Path::new("/etc/apt/auth.conf.d").is_dir() {
        command.arg("--setup-hook=mkdir -p \"$1/etc/apt\" && cp -r /etc/apt/auth.conf.d \"$1/etc/apt/\"");
    }
    command.arg(release.codename()).arg(root).args(sources);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
    let start = |source| CommandError::Start { command: "mmdebstrap".into(), source };
    let status = command.stdin(std::process::Stdio::null()).status().map_err(start)?;
    if status.success() {
        return Ok(());
    }
    let line = command_line(&command);
    let line = line.split_once(" -- ").map_or(line.as_str(), |(_, rest)| rest).to_owned();
    let stderr = last_lines(&fs::read_to_string(log).unwrap_or_default(), 8);
    Err(CommandError::Failed { command: line, status, stderr })
}

/// Removes images of older recipes that no lab lies over. What cannot be removed now is tried again
/// with the next build.
fn remove_outdated(release: Release, current: &str) {
    let Ok(names) = record::names() else { return };
    let mut used = Vec::new();
    for name in names {
        match record::LabRecord::load(&name) {
            Ok(Some(lab)) => used.extend(lab.images),
            Ok(None) => {}
            // An unreadable record may use any image.
            Err(_) => return,
        }
    }
    let Ok(entries) = fs::read_dir(IMAGE_CACHE) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let outdated = name.starts_with(&format!("{}-", release.name())) && name != current;
        if outdated && entry.path().join("complete").exists() && !used.contains(&entry.path().join("root")) {
            let _ = remove_folder("images", &entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_short_and_the_same_each_time() {
        assert_eq!(key(), key());
        assert_eq!(key().len(), 12);
    }

    #[test]
    fn no_package_of_the_image_brings_python() {
        assert!(!PACKAGES.contains("python"));
    }
}
