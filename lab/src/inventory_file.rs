//! The files a lab gives its user: an inventory that `cm` uses as it is, the key, and the hosts' own keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use crate::error::LabError;
use crate::files::{failed, make_folder, read_if_there, remove_if_there, write};
use crate::keys::make_pair;
use crate::record::{HostRecord, LabRecord, WrittenFile};

/// The first line of files the lab writes; a file without it is somebody else's.
const MARK: &str = "# Written by `cm lab up`; `cm lab down` removes it unless it was changed.";

/// The inventory of a lab whose files are in `dir`.
pub(crate) fn inventory_path(dir: &Path) -> PathBuf {
    dir.join("inventory.yaml")
}

/// The private key that all users of all hosts accept.
pub(crate) fn key_path(dir: &Path) -> PathBuf {
    dir.join("lab_key")
}

/// The hosts' public keys.
pub(crate) fn known_hosts_path(dir: &Path) -> PathBuf {
    dir.join("known_hosts")
}

fn public_key_path(dir: &Path) -> PathBuf {
    dir.join("lab_key.pub")
}

/// Refuses to begin where a file of somebody else would be overwritten.
pub(crate) fn check_folder(dir: &Path) -> Result<(), LabError> {
    make_folder_of_its_place(dir)?;
    for path in [inventory_path(dir), known_hosts_path(dir)] {
        let foreign = read_if_there(&path)?.is_some_and(|content| !content.starts_with(MARK.as_bytes()));
        if foreign {
            return Err(LabError::NotOurs { what: format!("`{}`", path.display()) });
        }
    }
    let public = read_if_there(&public_key_path(dir))?;
    let ours =
        public.is_some_and(|content| String::from_utf8_lossy(&content).trim_end().ends_with(" cm-lab"));
    if key_path(dir).exists() && !ours {
        return Err(LabError::NotOurs { what: format!("`{}`", key_path(dir).display()) });
    }
    Ok(())
}

/// Makes the lab's key pair; returns the public line.
pub(crate) fn write_key(record: &mut LabRecord) -> Result<String, LabError> {
    let path = key_path(&record.dir);
    let public = make_pair(&path, "cm-lab")?;
    note(record, path)?;
    let path = public_key_path(&record.dir);
    note(record, path)?;
    Ok(public)
}

/// Writes inventory and known hosts.
pub(crate) fn write_files(
    record: &mut LabRecord,
    host_keys: &BTreeMap<String, Vec<String>>,
) -> Result<(), LabError> {
    let path = inventory_path(&record.dir);
    write(&path, inventory(&record.hosts, &record.dir).as_bytes(), 0o644)?;
    note(record, path)?;
    let path = known_hosts_path(&record.dir);
    write(&path, known_hosts(&record.hosts, host_keys).as_bytes(), 0o644)?;
    note(record, path)
}

/// Makes a folder that belongs to whom the folder above belongs: a lab is made by root, often for a user
/// who will not be root when he uses its inventory and key.
fn make_folder_of_its_place(dir: &Path) -> Result<(), LabError> {
    if dir.exists() {
        return Ok(());
    }
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder_of_its_place(above)?;
    make_folder(dir, 0o755)?;
    give(dir, above)
}

/// Makes `path` belong to the owner of `place`.
fn give(path: &Path, place: &Path) -> Result<(), LabError> {
    let owner = place.metadata().map_err(failed("read", place))?;
    if owner.uid() == path.metadata().map_err(failed("read", path))?.uid() {
        return Ok(());
    }
    chown(path, Some(owner.uid()), Some(owner.gid())).map_err(failed("give away", path))
}

/// Records a written file so that it is removed with the lab.
fn note(record: &mut LabRecord, path: PathBuf) -> Result<(), LabError> {
    give(&path, &record.dir)?;
    let content = read_if_there(&path)?.unwrap_or_default();
    let blake3 = blake3::hash(&content).to_hex().to_string();
    record.written.retain(|file| file.path != path);
    record.written.push(WrittenFile { path, blake3 });
    record.save()
}

/// Removes what was written and not changed since.
pub(crate) fn remove_files(record: &LabRecord) -> Result<(), LabError> {
    for file in &record.written {
        let unchanged = read_if_there(&file.path)?
            .is_some_and(|content| blake3::hash(&content).to_hex().as_str() == file.blake3);
        if unchanged {
            remove_if_there(&file.path)?;
        }
    }
    Ok(())
}

fn inventory(hosts: &[HostRecord], dir: &Path) -> String {
    let mut text = format!("{MARK}\nhosts:\n");
    for host in hosts {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}: {{ address: {} }}", host.name, host.address);
    }
    let groups = groups(hosts);
    if !groups.is_empty() {
        text.push_str("groups:\n");
    }
    for (group, members) in groups {
        let _ = writeln!(text, "  {group}: {{ hosts: [{}] }}", members.join(", "));
    }
    let _ = write!(
        text,
        "defaults:\n  ssh:\n    user: admin\n    key: {}\n    known_hosts: {}\n  become: true\n",
        quoted(&key_path(dir)),
        quoted(&known_hosts_path(dir)),
    );
    text
}

/// A path as a YAML string, whatever it holds: JSON strings are YAML strings.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

/// Hosts named alike but for a number at the end are a group: `web1` and `web2` are `web`.
fn groups(hosts: &[HostRecord]) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for host in hosts {
        let group = host.name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        // `all` is a target of its own, and a group cannot have a host's name.
        if group != host.name && group != "all" && !hosts.iter().any(|other| other.name == group) {
            groups.entry(group).or_default().push(&host.name);
        }
    }
    groups
}

fn known_hosts(hosts: &[HostRecord], host_keys: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = format!("{MARK}\n");
    for host in hosts {
        for key in host_keys.get(&host.name).into_iter().flatten() {
            let _ = writeln!(text, "{},{} {key}", host.name, host.address);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::LabNumber;
    use crate::spec::{LabSpec, Release};

    fn hosts(count: u16) -> Vec<HostRecord> {
        let spec = LabSpec::numbered("x", count, Release::Debian12, "/tmp");
        LabRecord::new(&spec, LabNumber(7)).unwrap().hosts
    }

    #[test]
    fn the_inventory_has_the_form_of_the_contract() {
        let text = inventory(&hosts(3), Path::new("/tmp/a \"b\""));
        let parsed: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(parsed["hosts"]["db1"]["address"], "10.213.7.13");
        assert_eq!(parsed["groups"]["web"]["hosts"][1], "web2");
        assert_eq!(parsed["defaults"]["ssh"]["key"], "/tmp/a \"b\"/lab_key");
        assert_eq!(parsed["defaults"]["become"], true);
    }

    #[test]
    fn a_host_without_number_is_in_no_group() {
        let mut hosts = hosts(2);
        hosts[0].name = "bastion".into();
        assert_eq!(groups(&hosts), BTreeMap::from([("db", vec!["db1"])]));
    }

    #[test]
    fn files_of_others_are_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        check_folder(dir.path()).unwrap();
        std::fs::write(inventory_path(dir.path()), "hosts: {}\n").unwrap();
        assert!(check_folder(dir.path()).unwrap_err().to_string().contains("not made by the lab"));
        std::fs::write(inventory_path(dir.path()), inventory(&hosts(1), dir.path())).unwrap();
        check_folder(dir.path()).unwrap();
        std::fs::write(key_path(dir.path()), "somebody's key").unwrap();
        assert!(check_folder(dir.path()).is_err());
    }

    #[test]
    fn what_root_writes_for_a_user_belongs_to_the_user() {
        if !rustix::process::geteuid().is_root() {
            return crate::skipped::skipped("giving files away needs root");
        }
        let place = tempfile::tempdir().unwrap();
        chown(place.path(), Some(4711), Some(4712)).unwrap();
        let dir = place.path().join("a/b");
        check_folder(&dir).unwrap();
        for folder in [&dir, &place.path().join("a")] {
            let owner = folder.metadata().unwrap();
            assert_eq!((owner.uid(), owner.gid()), (4711, 4712), "{}", folder.display());
        }
    }

    #[test]
    fn known_hosts_has_name_and_address() {
        let keys = BTreeMap::from([("web1".to_owned(), vec!["ssh-ed25519 AAAA".to_owned()])]);
        assert_eq!(known_hosts(&hosts(1), &keys), format!("{MARK}\nweb1,10.213.7.11 ssh-ed25519 AAAA\n"));
    }
}
