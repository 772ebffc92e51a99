use std::{path::Path, time::Instant};

use super::*;
use crate::{
    Empty, Node, Overlay,
    bench::context,
    library::trial::{Store, converge, lines, put, put_directory, task},
    node::{Files, Settings},
};

fn node() -> Overlay<'static> {
    let node = Overlay::new(&Empty);
    for folder in ["/etc", "/etc/modprobe.d"] {
        put_directory(&node, Path::new(folder));
    }
    node
}

fn module(name: &str, more: &[(&str, Value)]) -> Box<dyn Resource> {
    let mut params = vec![("name", name.into())];
    params.extend(more.iter().map(|(name, value)| (*name, value.clone())));
    task("kernel_module", &params)
}

fn set(node: &dyn Node, name: &str, more: &[(&str, Value)]) -> Vec<String> {
    let changes = converge(node, &Store::default(), module(name, more).as_ref()).unwrap();
    let attribute = |line: String| {
        if line.starts_with("module:") {
            line
        } else {
            line.split(": ").next().unwrap_or_default().to_owned()
        }
    };
    lines(&changes).into_iter().map(attribute).collect()
}

fn text(node: &dyn Node, path: &str) -> Option<String> {
    node.read(Path::new(path), 1000).ok().map(|bytes| String::from_utf8(bytes).unwrap())
}

const BOOT: &str = "/etc/modules-load.d/cm-br_netfilter.conf";
const MODPROBE: &str = "/etc/modprobe.d/cm-br_netfilter.conf";

#[test]
fn a_module_lives_from_first_to_last() {
    let node = node();
    assert_eq!(set(&node, "br-netfilter", &[]), ["module: - -> loaded", "at boot"]);
    assert!(set(&node, "br_netfilter", &[]).is_empty());
    assert_eq!(text(&node, BOOT).unwrap(), "br_netfilter\n");
    let params = Value::Map(
        [("b".into(), "a b".into()), ("a".into(), Value::Int(1)), ("c".into(), Value::Bool(true))]
            .into_iter()
            .collect(),
    );
    let more = [("params", params), ("boot", false.into())];
    assert_eq!(set(&node, "br_netfilter", &more), ["at boot", "modprobe"]);
    assert_eq!(text(&node, MODPROBE).unwrap(), "options br_netfilter a=1 b=\"a b\" c=1\n");
    assert_eq!(text(&node, BOOT), None);
    assert_eq!(
        set(&node, "br_netfilter", &[("state", "blacklisted".into())]),
        ["module: loaded -> -", "modprobe"]
    );
    assert_eq!(text(&node, MODPROBE).unwrap(), "blacklist br_netfilter\n");
    assert_eq!(set(&node, "br_netfilter", &[("state", "absent".into())]), ["modprobe"]);
    assert!(set(&node, "br_netfilter", &[("state", "absent".into())]).is_empty());
    assert_eq!((text(&node, BOOT), text(&node, MODPROBE)), (None, None));
}

#[test]
fn what_somebody_changed_by_hand_is_found() {
    let node = node();
    set(&node, "loop", &[]);
    node.set(SettingKind::KernelModule, "loop", None, Instant::now()).unwrap();
    assert_eq!(set(&node, "loop", &[]), ["module: - -> loaded"]);
    put(&node, Path::new("/etc/modules-load.d/cm-loop.conf"), b"other\n", 0o600);
    assert_eq!(set(&node, "loop", &[]), ["at boot"]);
    assert_eq!(node.stat(Path::new("/etc/modules-load.d/cm-loop.conf")).unwrap().unwrap().mode, 0o600);
    put(&node, Path::new("/etc/modprobe.d/cm-loop.conf"), b"options loop x=1\n", 0o644);
    assert_eq!(set(&node, "loop", &[]), ["modprobe"]);
    assert_eq!(text(&node, "/etc/modprobe.d/cm-loop.conf"), None);
}

#[test]
fn what_is_built_in_counts_as_loaded() {
    let node = node();
    node.set(SettingKind::KernelModule, "ext4", Some("built in"), Instant::now()).unwrap();
    assert_eq!(set(&node, "ext4", &[("boot", false.into())]), [""; 0]);
    assert_eq!(set(&node, "ext4", &[]), ["at boot"]);
}

#[test]
fn parameters_of_a_loaded_module_wait_for_the_next_load() {
    let node = node();
    set(&node, "loop", &[]);
    let params = Value::Map([("max_loop".into(), Value::Int(8))].into_iter().collect());
    let resource = module("loop", &[("params", params)]);
    let context = context(&node, cm_wire::Mode::Apply);
    let Seen::Differs(_) = resource.look(&context).unwrap() else { panic!("it differs") };
    let effect = resource.change(&context).unwrap();
    assert_eq!(
        effect.notes,
        ["the parameters of the kernel module loop take effect when it is loaded again"]
    );
}

#[test]
fn all_that_is_touched_is_kept() {
    let node = node();
    let resource = module("loop", &[]);
    let context = context(&node, cm_wire::Mode::Plan);
    let _ = resource.look(&context).unwrap();
    let keeps = resource.keeps(&context);
    for path in ["/etc/modules-load.d", "/etc/modules-load.d/cm-loop.conf", "/etc/modprobe.d/cm-loop.conf"] {
        assert!(keeps.contains(&Thing::Path(path.into())), "{path}");
    }
    assert!(keeps.contains(&Thing::Setting(SettingKind::KernelModule, "loop".into())));
}

#[test]
fn names_and_parameters_that_mean_nothing_are_refused() {
    for wrong in ["", "a b", "-r", "../x", "a/b", "ä", "a\nb"] {
        assert!(ModuleName::read(&wrong.into()).is_err(), "{wrong:?}");
    }
    assert_eq!(ModuleName::read(&"virtio-net".into()), Ok(ModuleName("virtio_net".into())));
    assert!(option("a b", &"1".into()).is_err() && option("a", &"x\ny".into()).is_err());
    assert!(option("a", &"\"".into()).is_err() && option("a", &Value::Null).is_err());
    let params = Value::Map([("a".into(), Value::Int(1))].into_iter().collect());
    let all: Params =
        [("name".into(), "loop".into()), ("state".into(), "absent".into()), ("params".into(), params)].into();
    assert!(compile(&all).is_err());
}
