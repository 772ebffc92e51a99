use std::time::Instant;

use cm_wire::{Mode, Value};

use super::*;
use crate::{
    Empty, Node, Overlay,
    library::trial::{Store, converge, lines, put, put_directory, task},
    node::{Files, Settings},
    registry,
};

fn node() -> Overlay<'static> {
    let node = Overlay::new(&Empty);
    for folder in ["/etc", "/mnt", "/srv", "/dev"] {
        put_directory(&node, Path::new(folder));
    }
    put(&node, Path::new(FSTAB), b"# ours\nUUID=1 / ext4 errors=remount-ro 0 1\n", 0o644);
    node
}

fn resource(path: &str, more: &[(&str, Value)]) -> Box<dyn Resource> {
    let mut params = vec![("path", path.into())];
    params.extend(more.iter().map(|(name, value)| (*name, value.clone())));
    task("mount", &params)
}

fn mount(node: &dyn Node, path: &str, more: &[(&str, Value)]) -> Result<Vec<String>, Problem> {
    converge(node, &Store::default(), resource(path, more).as_ref()).map(|changes| {
        lines(&changes)
            .into_iter()
            .map(|line| if line.starts_with("fstab") { "fstab".into() } else { line })
            .collect()
    })
}

fn fstab(node: &dyn Node) -> String {
    let text = String::from_utf8(node.read(Path::new(FSTAB), 10_000).unwrap()).unwrap();
    text.strip_prefix("# ours\nUUID=1 / ext4 errors=remount-ro 0 1\n").unwrap().to_owned()
}

fn live(node: &dyn Node, path: &str, value: Option<&str>) {
    node.set(SettingKind::Mounted, path, value, Instant::now()).unwrap();
}

fn tmpfs(options: &str) -> Vec<(&'static str, Value)> {
    vec![("device", "tmpfs".into()), ("fstype", "tmpfs".into()), ("options", options.into())]
}

#[test]
fn a_mount_lives_from_first_to_last() {
    let node = node();
    let found = mount(&node, "/mnt/a b/c", &tmpfs("size=1m,mode=0700")).unwrap();
    assert_eq!(
        found,
        ["fstab", "mount point: - -> directory", "mounted: - -> tmpfs tmpfs size=1m,mode=0700"]
    );
    assert_eq!(fstab(&node), "tmpfs /mnt/a\\040b/c tmpfs size=1m,mode=0700 0 0\n");
    assert_eq!(node.stat(Path::new("/mnt/a b")).unwrap().unwrap().mode, 0o755);
    assert!(mount(&node, "/mnt/a b/c", &tmpfs("size=1m,mode=0700")).unwrap().is_empty());
    // Other options: the line, and a mount with them.
    assert_eq!(mount(&node, "/mnt/a b/c", &tmpfs("size=2m")).unwrap(), ["fstab"]);
    assert_eq!(node.setting(SettingKind::Mounted, "/mnt/a b/c").unwrap().unwrap(), "tmpfs tmpfs size=2m");
    assert_eq!(
        mount(&node, "/mnt/a b/c", &[("state", "unmounted".into())]).unwrap(),
        ["mounted: tmpfs tmpfs size=2m -> -"]
    );
    assert!(!fstab(&node).is_empty());
    assert!(mount(&node, "/mnt/a b/c", &[("state", "unmounted".into())]).unwrap().is_empty());
    assert_eq!(mount(&node, "/mnt/a b/c", &[("state", "absent".into())]).unwrap(), ["fstab"]);
    assert_eq!(fstab(&node), "");
    assert!(mount(&node, "/mnt/a b/c", &[("state", "absent".into())]).unwrap().is_empty());
    assert!(node.stat(Path::new("/mnt/a b/c")).unwrap().is_some(), "the mount point stays");
}

#[test]
fn what_somebody_changed_by_hand_is_found() {
    let node = node();
    let wanted =
        [("device", "/dev/sdb1".into()), ("fstype", "ext4".into()), ("options", "noexec,nodev".into())];
    mount(&node, "/srv", &wanted).unwrap();
    live(&node, "/srv", Some("/dev/sdb1 ext4 rw,nodev,relatime"));
    assert_eq!(mount(&node, "/srv", &wanted).unwrap(), ["options: rw,nodev,relatime -> noexec,nodev"]);
    live(&node, "/srv", Some("/dev/sdb1 ext4 ro,noexec,nodev,relatime"));
    assert_eq!(mount(&node, "/srv", &wanted).unwrap(), ["options: ro,noexec,nodev,relatime -> noexec,nodev"]);
    live(&node, "/srv", Some("/dev/sdb1 ext4 rw,noexec,nodev,relatime,data=ordered"));
    assert!(mount(&node, "/srv", &wanted).unwrap().is_empty());
    live(&node, "/srv", None);
    assert_eq!(mount(&node, "/srv", &wanted).unwrap(), ["mounted: - -> /dev/sdb1 ext4 noexec,nodev"]);
    live(&node, "/srv", Some("/dev/sdc1 ext4 rw"));
    assert_eq!(
        mount(&node, "/srv", &wanted).unwrap(),
        ["mounted: /dev/sdc1 ext4 rw -> /dev/sdb1 ext4 noexec,nodev"]
    );
    node.remove(Path::new(FSTAB)).unwrap();
    assert_eq!(mount(&node, "/srv", &wanted).unwrap(), ["fstab"]);
    assert_eq!(node.read(Path::new(FSTAB), 100).unwrap(), b"/dev/sdb1 /srv ext4 noexec,nodev 0 0\n");
}

#[test]
fn a_line_alone_does_not_touch_what_is_mounted() {
    let node = node();
    let wanted = [
        ("state", "configured".into()),
        ("device", "UUID=ab".into()),
        ("fstype", "xfs".into()),
        ("options", Value::List(vec!["noauto".into(), "nofail".into()])),
        ("pass", Value::Int(2)),
    ];
    assert_eq!(mount(&node, "/mnt/x", &wanted).unwrap(), ["fstab"]);
    assert_eq!(fstab(&node), "UUID=ab /mnt/x xfs noauto,nofail 0 2\n");
    live(&node, "/mnt/x", Some("/dev/sdb1 ext4 rw"));
    assert!(mount(&node, "/mnt/x", &wanted).unwrap().is_empty());
    assert!(node.stat(Path::new("/mnt/x")).unwrap().is_none());
}

#[test]
fn a_bind_mount_needs_no_type_and_a_file_can_be_bound() {
    let node = node();
    put(&node, Path::new("/srv/one"), b"1", 0o644);
    let bind = |source: &str| [("device", source.into()), ("options", "bind,ro".into())];
    let found = mount(&node, "/mnt/folder", &bind("/srv/")).unwrap();
    assert_eq!(found.last().unwrap(), "mounted: - -> /srv none bind,ro");
    mount(&node, "/mnt/file", &bind("/srv/one")).unwrap();
    assert_eq!(node.stat(Path::new("/mnt/file")).unwrap().unwrap().kind, FileKind::File);
    assert_eq!(fstab(&node), "/srv /mnt/folder none bind,ro 0 0\n/srv/one /mnt/file none bind,ro 0 0\n");
    // As the machine tells it.
    live(&node, "/mnt/folder", Some("/srv none ro,relatime,bind"));
    assert!(mount(&node, "/mnt/folder", &bind("/srv")).unwrap().is_empty());
    live(&node, "/mnt/folder", Some("/srv none rw,relatime,bind"));
    assert_eq!(mount(&node, "/mnt/folder", &bind("/srv")).unwrap(), ["options: rw,relatime,bind -> bind,ro"]);
}

/// A plan took the files under a mount point for those of the file system that was yet to be mounted on it.
#[test]
fn a_plan_sees_what_a_mount_hides_and_shows() {
    let node = node();
    put_directory(&node, Path::new("/mnt/x"));
    put(&node, Path::new("/mnt/x/below"), b"hidden", 0o644);
    put(&node, Path::new("/srv/shown"), b"one", 0o644);
    let plan = Overlay::new(&node);
    let change = |path: &str, more: &[(&str, Value)]| {
        resource(path, more).change(&crate::bench::context(&plan, Mode::Plan)).unwrap();
    };
    let there = |path: &str| plan.stat(Path::new(path)).unwrap();
    change("/mnt/x", &tmpfs("mode=0750,uid=7"));
    assert!(there("/mnt/x/below").is_none());
    assert_eq!(there("/mnt/x").map(|stat| (stat.mode, stat.uid)), Some((0o750, 7)));
    put(&plan, Path::new("/mnt/x/new"), b"", 0o644);
    // Other options mount nothing anew.
    change("/mnt/x", &tmpfs("mode=0750,uid=7,noexec"));
    assert!(there("/mnt/x/new").is_some() && !plan.may_appear());
    change("/mnt/x", &[("device", "/srv".into()), ("options", "bind".into())]);
    assert!(there("/mnt/x/new").is_none());
    assert_eq!(plan.read(Path::new("/mnt/x/shown"), 10).unwrap(), b"one");
    put(&plan, Path::new("/mnt/x/shown"), b"two", 0o644);
    assert_eq!(plan.read(Path::new("/srv/shown"), 10).unwrap(), b"two");
    plan.set_mode(Path::new("/mnt/x"), 0o700).unwrap();
    assert_eq!((there("/mnt/x").unwrap().mode, there("/srv").unwrap().mode), (0o700, 0o700));
    assert_eq!(plan.list(Path::new("/mnt/x")).unwrap(), ["shown"]);
    change("/mnt/x", &[("state", "absent".into())]);
    assert_eq!(plan.list(Path::new("/mnt/x")).unwrap(), ["below"], "what was hidden is seen again");
    change("/mnt/x", &[("device", "/dev/sdb1".into()), ("fstype", "ext4".into())]);
    assert!(plan.may_appear(), "nobody knows what is on a device");
    assert_eq!(node.read(Path::new("/mnt/x/below"), 10).unwrap(), b"hidden");
    assert_eq!(node.read(Path::new("/srv/shown"), 10).unwrap(), b"one");
}

#[test]
fn a_mount_point_that_is_none_is_told() {
    let node = node();
    put(&node, Path::new("/mnt/file"), b"", 0o644);
    node.make_link(Path::new("/mnt/link"), Path::new("/srv")).unwrap();
    let message = |path: &str| mount(&node, path, &tmpfs("rw")).unwrap_err().message;
    assert_eq!(message("/mnt/file"), "the mount point /mnt/file is a file, not a directory");
    assert_eq!(message("/mnt/link"), "the mount point /mnt/link is a link, not a directory");
    assert_eq!(fstab(&node), "");
}

#[test]
fn parameters_that_mean_nothing_are_refused() {
    let error = |params: &[(&str, &str)]| {
        let mut all: Params =
            params.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        all.entry("path".into()).or_insert_with(|| "/mnt".into());
        registry::compile("mount", &all).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(error(&[("fstype", "ext4")]), "`device` is required (a string)");
    assert_eq!(error(&[("device", "/dev/sdb1")]), "`fstype` is required (a string)");
    assert!(
        error(&[("device", "srv"), ("options", "bind")]).contains("of a bind mount wants an absolute path")
    );
    assert!(
        error(&[("device", "a"), ("fstype", "b"), ("options", "a b")]).starts_with("`options` cannot hold")
    );
    assert!(
        error(&[("device", "a"), ("fstype", "b"), ("options", "remount")])
            .contains("done where it is needed")
    );
    assert!(error(&[("state", "absent"), ("device", "a")]).contains("to be absent"));
    assert!(error(&[("state", "absent"), ("path", "/")]).contains("root file system"));
}

#[test]
fn what_it_touches_is_kept_and_secrets_are_not_shown() {
    let node = node();
    let resource = resource("/mnt/new/deep", &tmpfs("password=hush"));
    let context = Context { sensitive: true, ..crate::bench::context(&node, Mode::Plan) };
    let Seen::Differs(changes) = resource.look(&context).unwrap() else { panic!("it differs") };
    assert!(!format!("{changes:?}").contains("hush"), "{changes:?}");
    let wanted = [
        Thing::Path("/mnt/new".into()),
        Thing::Path("/mnt/new/deep".into()),
        Thing::Path(FSTAB.into()),
        Thing::Setting(SettingKind::Mounted, "/mnt/new/deep".into()),
    ];
    assert_eq!(resource.keeps(&context), wanted);
}
