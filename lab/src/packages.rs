//! Small real packages for tests that must not need a network, built from the sources beside this file.
//!
//! `cm-lab-daemon` (a daemon with unit and conffile) depends on `cm-lab-lib`; both are there as 1.0 and
//! 2.0. The daemon's 3.0 starts and then answers every request with an error: an update that goes wrong.
//! It is pinned away, so that "the latest" is 2.0 and 3.0 is only installed by its number.

use std::fs;
use std::path::Path;

use crate::command::{CommandError, run};
use crate::error::LabError;
use crate::files::{failed, make_folder, write};

/// Where the repository lies in an image, and so in every host.
pub(crate) const REPOSITORY: &str = "srv/cm-lab/apt";

const DAEMON: &str = include_str!("packages/cm-lab-daemon.pl");
const UNIT: &str = include_str!("packages/cm-lab-daemon.service");
const CONFFILE: &str = include_str!("packages/cm-lab-daemon.conf");
const POSTINST: &str = include_str!("packages/cm-lab-daemon.postinst");
const PRERM: &str = include_str!("packages/cm-lab-daemon.prerm");
const POSTRM: &str = include_str!("packages/cm-lab-daemon.postrm");
/// Below the installed version's 100: nothing is upgraded to 3.0, and where it is installed it may stay.
const PIN: &str = "Package: cm-lab-daemon\nPin: version 3.0\nPin-Priority: 50\n";

/// All that the packages are made of, for the image's key. The number stands for what this file itself
/// says of the packages: a change of it that matters raises the number.
pub(crate) fn ingredients() -> [&'static str; 8] {
    ["1", PIN, DAEMON, UNIT, CONFFILE, POSTINST, PRERM, POSTRM]
}

/// A package to build: its control file and its files with their modes.
struct Package {
    name: &'static str,
    version: &'static str,
    control: String,
    files: Vec<(&'static str, String, u32)>,
    maintainer_files: Vec<(&'static str, String, u32)>,
}

/// Builds all packages and the repository's index below `root`.
pub(crate) fn build_repository(root: &Path, scratch: &Path) -> Result<(), LabError> {
    let repository = root.join(REPOSITORY);
    make_folder(&repository, 0o755)?;
    let mut index = String::new();
    let packages =
        [library("1.0"), library("2.0"), daemon("1.0", "1.0"), daemon("2.0", "2.0"), daemon("3.0", "2.0")];
    for package in packages {
        index.push_str(&build(&package, &repository, scratch)?);
    }
    write(&repository.join("Packages"), index.as_bytes(), 0o644)?;
    let sources = root.join("etc/apt/sources.list.d/cm-lab.list");
    write(&sources, format!("deb [trusted=yes] file:/{REPOSITORY} ./\n").as_bytes(), 0o644)?;
    write(&root.join("etc/apt/preferences.d/cm-lab"), PIN.as_bytes(), 0o644)
}

fn library(version: &'static str) -> Package {
    Package {
        name: "cm-lab-lib",
        version,
        control: control("cm-lab-lib", version, "", "what cm-lab-daemon is made with"),
        files: vec![("usr/share/cm-lab-lib/version", format!("{version}\n"), 0o644)],
        maintainer_files: Vec::new(),
    }
}

fn daemon(version: &'static str, library: &str) -> Package {
    let depends = format!("Depends: perl-base, passwd, cm-lab-lib (>= {library})\n");
    let filled = |text: &str| text.replace("@VERSION@", version);
    Package {
        name: "cm-lab-daemon",
        version,
        control: control("cm-lab-daemon", version, &depends, "answers requests with its version"),
        files: vec![
            ("usr/sbin/cm-lab-daemon", filled(DAEMON), 0o755),
            ("lib/systemd/system/cm-lab-daemon.service", filled(UNIT), 0o644),
            ("etc/cm-lab-daemon.conf", filled(CONFFILE), 0o644),
        ],
        maintainer_files: vec![
            ("conffiles", "/etc/cm-lab-daemon.conf\n".to_owned(), 0o644),
            ("postinst", POSTINST.to_owned(), 0o755),
            ("prerm", PRERM.to_owned(), 0o755),
            ("postrm", POSTRM.to_owned(), 0o755),
        ],
    }
}

fn control(name: &str, version: &str, depends: &str, description: &str) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: cm lab <cm-lab@localhost>\n\
         Section: misc\nPriority: optional\n{depends}Description: {description}\n\
         \x20A package for tests, built by the lab itself.\n"
    )
}

/// Builds one package and returns its paragraph of the index.
fn build(package: &Package, repository: &Path, scratch: &Path) -> Result<String, LabError> {
    let tree = scratch.join(format!("{}-{}", package.name, package.version));
    make_folder(&tree.join("DEBIAN"), 0o755)?;
    let place = |path: &Path, content: &str, mode: u32| -> Result<(), LabError> {
        if let Some(folder) = path.parent() {
            make_folder(folder, 0o755)?;
        }
        write(path, content.as_bytes(), mode)
    };
    place(&tree.join("DEBIAN/control"), &package.control, 0o644)?;
    for (name, content, mode) in &package.maintainer_files {
        place(&tree.join("DEBIAN").join(name), content, *mode)?;
    }
    for (path, content, mode) in &package.files {
        place(&tree.join(path), content, *mode)?;
    }
    let file = format!("{}_{}_all.deb", package.name, package.version);
    let target = repository.join(&file);
    // gzip: the oldest release's dpkg reads it whatever this machine's default is.
    let arguments =
        ["-Zgzip", "--root-owner-group", "--build", &tree.to_string_lossy(), &target.to_string_lossy()];
    run("dpkg-deb", &arguments)?;
    let size = target.metadata().map_err(failed("read", &target))?.len();
    let digest = sha256(&target)?;
    fs::remove_dir_all(&tree).map_err(failed("remove", &tree))?;
    let (head, description) = package.control.split_once("Description:").unwrap_or((&package.control, ""));
    Ok(format!("{head}Filename: ./{file}\nSize: {size}\nSHA256: {digest}\nDescription:{description}\n"))
}

fn sha256(path: &Path) -> Result<String, CommandError> {
    let shown = run("sha256sum", &["-b", &path.to_string_lossy()])?;
    Ok(shown.split(' ').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_holds_what_its_index_says() {
        if crate::command::locate("dpkg-deb").is_none() {
            return crate::skipped::skipped("building packages: `dpkg-deb` is not installed (dpkg)");
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        make_folder(&root.join("etc/apt/sources.list.d"), 0o755).unwrap();
        make_folder(&root.join("etc/apt/preferences.d"), 0o755).unwrap();
        build_repository(&root, &folder.path().join("scratch")).unwrap();
        let index = fs::read_to_string(root.join(REPOSITORY).join("Packages")).unwrap();
        let files: Vec<&str> = index.lines().filter_map(|line| line.strip_prefix("Filename: ./")).collect();
        assert_eq!(files.len(), 5);
        for file in files {
            let path = root.join(REPOSITORY).join(file);
            let fields =
                run("dpkg-deb", &["--field", &path.to_string_lossy(), "Package", "Version"]).unwrap();
            assert!(index.contains(&fields.lines().next().unwrap().to_owned()), "{fields}");
        }
        let daemon = root.join(REPOSITORY).join("cm-lab-daemon_2.0_all.deb");
        let listed = run("dpkg-deb", &["--contents", &daemon.to_string_lossy()]).unwrap();
        assert!(listed.contains("-rwxr-xr-x root/root") && listed.contains("./usr/sbin/cm-lab-daemon"));
    }
}
