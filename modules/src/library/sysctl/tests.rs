//! Parameters of the kernel.

use std::time::Instant;

use cm_wire::{Mode, Value};

use super::*;
use crate::{
    Empty, Overlay,
    library::trial::{Store, context, converge, lines, look, put, put_directory, task},
    node::{Files, Settings},
};

const KEY: &str = "net.ipv4.tcp_rmem";
const FILE: &str = "/etc/sysctl.d/60-cm-net.ipv4.tcp_rmem.conf";

fn node() -> Overlay<'static> {
    let node = Overlay::new(&Empty);
    for folder in ["/etc", FOLDER] {
        put_directory(&node, Path::new(folder));
    }
    set(&node, "1 2 3");
    node
}

fn set(node: &Overlay<'_>, value: &str) {
    node.set(SettingKind::Sysctl, KEY, Some(value), Instant::now()).unwrap();
}

fn sysctl(more: &[(&'static str, Value)]) -> Box<dyn Resource> {
    let mut params = vec![("key", KEY.into())];
    params.extend_from_slice(more);
    task("sysctl", &params)
}

fn value(value: &str) -> (&'static str, Value) {
    ("value", value.into())
}

#[test]
fn a_parameter_is_set_now_and_at_boot() {
    let (node, store) = (node(), Store::default());
    let task = sysctl(&[value("4\t5  6")]);
    let changes = converge(&node, &store, &*task).unwrap();
    assert_eq!(lines(&changes[2..]), ["value: 1 2 3 -> 4 5 6"]);
    assert_eq!(node.read(Path::new(FILE), 99).unwrap(), b"# Managed by cm.\nnet.ipv4.tcp_rmem = 4 5 6\n");
    assert_eq!(node.setting(SettingKind::Sysctl, KEY).unwrap().as_deref(), Some("4 5 6"));
    set(&node, "1 2 3");
    assert_eq!(lines(&converge(&node, &store, &*task).unwrap()), ["value: 1 2 3 -> 4 5 6"]);
    put(&node, Path::new(FILE), b"", 0o644);
    assert_eq!(converge(&node, &store, &*task).unwrap()[0].attribute, "content");
    let absent = sysctl(&[("state", "absent".into())]);
    assert_eq!(lines(&converge(&node, &store, &*absent).unwrap()), ["state: file -> -"]);
    assert_eq!(node.setting(SettingKind::Sysctl, KEY).unwrap().as_deref(), Some("4 5 6"), "it stays");
    assert_eq!(look(&node, &store, &*absent), []);
}

#[test]
fn only_now_or_only_at_boot() {
    let (node, store) = (node(), Store::default());
    let now = sysctl(&[value("4 5 6"), ("persist", false.into())]);
    assert_eq!(lines(&converge(&node, &store, &*now).unwrap()), ["value: 1 2 3 -> 4 5 6"]);
    assert_eq!(node.stat(Path::new(FILE)).unwrap(), None);
    let boot = sysctl(&[value("7 8 9"), ("apply", false.into())]);
    assert_eq!(converge(&node, &store, &*boot).unwrap().len(), 2);
    assert_eq!(node.setting(SettingKind::Sysctl, KEY).unwrap().as_deref(), Some("4 5 6"));
    let context = context(&node, &store, Mode::Apply);
    let (setting, file) = (Thing::Setting(SettingKind::Sysctl, KEY.into()), Thing::Path(FILE.into()));
    assert_eq!(now.keeps(&context), std::slice::from_ref(&setting));
    assert_eq!(boot.keeps(&context), std::slice::from_ref(&file));
    assert_eq!(sysctl(&[value("1")]).keeps(&context), [file.clone(), setting]);
    assert_eq!(sysctl(&[("state", "absent".into())]).keeps(&context), [file]);
}

#[test]
fn a_parameter_that_is_not_there_is_a_difference_and_then_an_error() {
    let (node, store) = (node(), Store::default());
    let bridge =
        task("sysctl", &[("key", "net.bridge.bridge-nf-call-iptables".into()), ("value", Value::Int(1))]);
    assert_eq!(look(&node, &store, &*bridge).len(), 3);
    let problem = bridge.change(&context(&node, &store, Mode::Apply)).unwrap_err();
    assert_eq!(problem.message, "the kernel has no parameter net.bridge.bridge-nf-call-iptables");
    assert!(problem.hint.unwrap().contains("`- kernel_module: br_netfilter`"));
    assert_eq!(node.list(Path::new(FOLDER)).unwrap().len(), 0, "nothing is written for the next boot");
    let module = Thing::Setting(SettingKind::KernelModule, "br_netfilter".into());
    assert_eq!(bridge.touches().needs, std::slice::from_ref(&module));
    // In a plan the module may have been loaded before.
    let image = Overlay::new(&node);
    assert!(bridge.change(&context(&image, &store, Mode::Plan)).is_err());
    image.set(SettingKind::KernelModule, "br_netfilter", Some("loaded"), Instant::now()).unwrap();
    bridge.change(&context(&image, &store, Mode::Plan)).unwrap();
    assert_eq!(look(&image, &store, &*bridge), []);
}

#[test]
fn a_file_that_wins_at_boot_is_told() {
    let (node, store) = (node(), Store::default());
    let task = sysctl(&[value("4 5 6")]);
    put(&node, Path::new("/etc/sysctl.d/10-early.conf"), b"net.ipv4.tcp_rmem=0\n", 0o644);
    put(&node, Path::new("/etc/sysctl.d/90-late.conf"), b"\xff\nnet/ipv4/tcp_rmem = 7 8  9\n", 0o644);
    let effect = task.change(&context(&node, &store, Mode::Apply)).unwrap();
    assert_eq!(
        effect.notes,
        ["/etc/sysctl.d/90-late.conf sets net.ipv4.tcp_rmem to \"7 8 9\" at the next boot"]
    );
    put(&node, Path::new("/etc/sysctl.d/90-late.conf"), b"net/ipv4/tcp_rmem = 4 5 6\n", 0o644);
    assert_eq!(task.change(&context(&node, &store, Mode::Apply)).unwrap().notes, [""; 0]);
}

#[test]
fn parameters_are_checked_without_a_node() {
    let error = |pairs: &[(&str, Value)]| {
        let mut params: Params =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        params.entry("key".into()).or_insert_with(|| KEY.into());
        compile(&params).err().expect("it is refused").to_string()
    };
    assert!(
        error(&[("key", "swappiness".into()), value("1")]).starts_with("`key` \"swappiness\" is no name")
    );
    assert!(error(&[]).starts_with("`value` is required"));
    assert!(error(&[value(" ")]).contains("is empty"));
    assert!(error(&[value("1\n2")]).contains("line break"));
    assert!(error(&[("value", true.into())]).contains("quote it"));
    assert!(
        error(&[value("1"), ("apply", false.into()), ("persist", false.into())])
            .contains("nothing would be set")
    );
    assert!(error(&[("state", "absent".into()), value("1")]).contains("to be absent"));
}

#[test]
fn a_secret_value_is_not_shown() {
    let (node, store) = (node(), Store::default());
    let context = Context { sensitive: true, ..context(&node, &store, Mode::Apply) };
    let Seen::Differs(changes) = sysctl(&[value("4")]).look(&context).unwrap() else { panic!("it differs") };
    assert_eq!(
        lines(&changes),
        ["state: - -> file", "content: - -> [secret]", "value: [secret] -> [secret]"]
    );
}
