use std::time::Instant;

use super::*;
use crate::{
    Empty, Node, Overlay,
    library::trial::{Store, converge, lines, put, put_directory, task},
    node::{Files, Settings},
    registry,
};

fn node() -> Overlay<'static> {
    let node = Overlay::new(&Empty);
    for folder in ["/etc", "/dev"] {
        put_directory(&node, Path::new(folder));
    }
    put(&node, Path::new(FSTAB), b"UUID=1 / ext4 defaults 0 1\n", 0o644);
    node
}

fn swap(node: &dyn Node, path: &str, more: &[(&str, Value)]) -> Result<Vec<String>, Problem> {
    let mut params = vec![("path", path.into())];
    params.extend(more.iter().map(|(name, value)| (*name, value.clone())));
    converge(node, &Store::default(), task("swap", &params).as_ref()).map(|changes| {
        lines(&changes)
            .into_iter()
            .map(|line| if line.starts_with("fstab") { "fstab".into() } else { line })
            .collect()
    })
}

fn area(node: &dyn Node, path: &str, value: &str) {
    node.set(SettingKind::Swap, path, Some(value), Instant::now()).unwrap();
}

fn fstab(node: &dyn Node) -> String {
    let text = String::from_utf8(node.read(Path::new(FSTAB), 10_000).unwrap()).unwrap();
    text.strip_prefix("UUID=1 / ext4 defaults 0 1\n").unwrap().to_owned()
}

#[test]
fn a_swap_file_lives_from_first_to_last() {
    let node = node();
    let gigabyte = [("size", "1G".into())];
    assert_eq!(
        swap(&node, "/var/swap file", &gigabyte).unwrap(),
        ["swap: - -> in use", "size: - -> 1G", "fstab"]
    );
    assert_eq!(fstab(&node), "/var/swap\\040file none swap sw 0 0\n");
    assert_eq!(node.setting(SettingKind::Swap, "/var/swap file").unwrap().unwrap(), "on size=1073741824");
    assert!(swap(&node, "/var/swap file", &gigabyte).unwrap().is_empty());
    let more = [("size", "1536M".into()), ("priority", Value::Int(5))];
    assert_eq!(
        swap(&node, "/var/swap file", &more).unwrap(),
        ["size: 1G -> 1536M", "priority: automatic -> 5", "fstab"]
    );
    assert_eq!(fstab(&node), "/var/swap\\040file none swap sw,pri=5 0 0\n");
    let absent = [("state", "absent".into())];
    assert_eq!(swap(&node, "/var/swap file", &absent).unwrap(), ["swap: in use -> -", "fstab"]);
    assert_eq!(fstab(&node), "");
    assert!(swap(&node, "/var/swap file", &absent).unwrap().is_empty());
}

#[test]
fn what_somebody_changed_by_hand_is_found() {
    let node = node();
    let wanted = [("size", "1M".into()), ("priority", Value::Int(3))];
    swap(&node, "/swapfile", &wanted).unwrap();
    area(&node, "/swapfile", "off size=1048576");
    assert_eq!(swap(&node, "/swapfile", &wanted).unwrap(), ["swap: not in use -> in use"]);
    area(&node, "/swapfile", "on size=1048576");
    assert_eq!(swap(&node, "/swapfile", &wanted).unwrap(), ["priority: automatic -> 3"]);
    put(&node, Path::new("/swapfile"), b"", 0o644);
    assert_eq!(swap(&node, "/swapfile", &wanted).unwrap(), ["mode: 0644 -> 0600"]);
    node.set_owner(Path::new("/swapfile"), 1000, 0).unwrap();
    assert_eq!(swap(&node, "/swapfile", &wanted).unwrap(), ["owner: 1000 -> root"]);
    node.remove(Path::new(FSTAB)).unwrap();
    assert_eq!(swap(&node, "/swapfile", &wanted).unwrap(), ["fstab"]);
}

#[test]
fn a_device_is_used_as_it_is() {
    let node = node();
    assert_eq!(swap(&node, "/dev/sdb2", &[]).unwrap(), ["swap: - -> in use", "fstab"]);
    assert_eq!(fstab(&node), "/dev/sdb2 none swap sw 0 0\n");
    assert!(swap(&node, "/dev/sdb2", &[]).unwrap().is_empty());
    assert_eq!(
        swap(&node, "/dev/sdb2", &[("state", "absent".into())]).unwrap(),
        ["swap: in use -> -", "fstab"]
    );
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    let node = node();
    put(&node, Path::new("/data"), b"precious", 0o600);
    let problem = swap(&node, "/data", &[("size", "1M".into())]).unwrap_err();
    assert_eq!(problem.message, "/data is a file that is no swap area");
    assert_eq!(fstab(&node), "");
    assert!(swap(&node, "/data", &[("state", "absent".into())]).unwrap().is_empty());
    assert_eq!(node.read(Path::new("/data"), 100).unwrap(), b"precious");
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in
        [("1M", 1 << 20), ("1.5G", 3 << 29), ("2 GiB", 2 << 30), ("1024K", 1 << 20), ("512MB", 1 << 29)]
    {
        assert_eq!(parse_size(text), Some(bytes), "{text}");
    }
    assert_eq!(Size::read(&Value::Int(1 << 20)), Ok(Size(1 << 20)));
    for wrong in ["", "x", "-1M", "1X", "1e9", "512", "1100K", "99999T", "0.0000001G"] {
        assert!(Size::read(&wrong.into()).is_err(), "{wrong:?}");
    }
    assert!(Size::read(&"512".into()).unwrap_err().contains("did you mean `512M`?"));
    assert_eq!([show_size(3 << 29), show_size(1 << 20), show_size(10)], ["1536M", "1M", "10"]);
}

#[test]
fn parameters_that_mean_nothing_are_refused() {
    let error = |params: &[(&str, Value)]| {
        let all: Params = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        registry::compile("swap", &all).map(|_| ()).unwrap_err().to_string()
    };
    assert!(error(&[("path", "/swap".into())]).contains("required for a swap file"));
    assert!(error(&[("path", "/dev/sdb".into()), ("size", "1G".into())]).contains("a device has its own"));
    let absent = [("path", "/swap".into()), ("state", "absent".into()), ("size", "1G".into())];
    assert!(error(&absent).contains("to be absent"));
}
