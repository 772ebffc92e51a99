use cm_wire::Mode;

use super::*;
use crate::{
    Empty, Overlay,
    library::trial::{Store, context, converge, lines, put, put_directory, task},
    node::Files,
};

fn node() -> Overlay<'static> {
    let node = Overlay::new(&Empty);
    for folder in ["/etc", "/usr", "/usr/share", ZONES] {
        put_directory(&node, Path::new(folder));
    }
    for area in ["Europe", "America", "America/Argentina", "posix"] {
        put_directory(&node, &Path::new(ZONES).join(area));
    }
    for zone in ["UTC", "Europe/Berlin", "Europe/Paris", "America/Argentina/Salta", "posix/UTC", "zone.tab"] {
        put(&node, &Path::new(ZONES).join(zone), b"TZif2", 0o644);
    }
    node
}

fn set(node: &dyn Node, zone: &str) -> Result<Vec<String>, Problem> {
    let resource = task("timezone", &[("zone", zone.into())]);
    converge(node, &Store::default(), resource.as_ref()).map(|changes| lines(&changes))
}

fn target(node: &dyn Node) -> String {
    node.read_link(Path::new(LINK)).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn the_link_keeps_its_kind_and_the_name_is_written_on_debian_only() {
    let node = node();
    assert_eq!(set(&node, "Europe/Berlin").unwrap(), ["zone: - -> Europe/Berlin"]);
    assert_eq!(target(&node), "/usr/share/zoneinfo/Europe/Berlin");
    assert!(node.stat(Path::new(NAME_FILE)).unwrap().is_none());
    // timedatectl(1) writes relative links.
    node.make_link(Path::new(LINK), Path::new("../usr/share/zoneinfo/Europe/Berlin")).unwrap();
    assert!(set(&node, "Europe/Berlin").unwrap().is_empty());
    assert_eq!(set(&node, "UTC").unwrap(), ["zone: Europe/Berlin -> UTC"]);
    assert_eq!(target(&node), "../usr/share/zoneinfo/UTC");
    put(&node, Path::new("/etc/debian_version"), b"12.11\n", 0o644);
    assert!(set(&node, "UTC").unwrap()[0].starts_with("/etc/timezone: - -> "));
    assert_eq!(node.read(Path::new(NAME_FILE), 100).unwrap(), b"UTC\n");
    assert!(set(&node, "UTC").unwrap().is_empty());
    put(&node, Path::new(NAME_FILE), b"Etc/UTC\n", 0o644);
    assert_eq!(set(&node, "UTC").unwrap().len(), 1);
}

#[test]
fn a_copied_file_becomes_a_link() {
    let node = node();
    put(&node, Path::new(LINK), b"TZif2", 0o644);
    assert_eq!(set(&node, "UTC").unwrap(), ["zone: a file -> UTC"]);
    put(&node, Path::new(NAME_FILE), b"UTC\n", 0o644);
    node.make_link(Path::new(LINK), Path::new("/opt/zones/UTC")).unwrap();
    assert_eq!(set(&node, "UTC").unwrap(), ["zone: /opt/zones/UTC -> UTC"]);
}

#[test]
fn an_unknown_zone_is_told_with_near_names() {
    let node = node();
    let hint = |zone: &str| set(&node, zone).unwrap_err().hint.unwrap();
    assert_eq!(hint("Europe/Berlim"), "did you mean Europe/Berlin?");
    assert_eq!(hint("europe/paris"), "did you mean Europe/Paris?");
    assert_eq!(hint("Paris"), "did you mean Europe/Paris?");
    assert_eq!(hint("America/Salta"), "did you mean America/Argentina/Salta?");
    assert!(hint("Mars/Olympus").contains("under /usr/share/zoneinfo"));
    assert_eq!(set(&node, "Europe").unwrap_err().message, "Europe is an area, not a time zone");
    assert!(hint("Europe").contains("Europe/Berlin"));
    let bare = Overlay::new(&Empty);
    put_directory(&bare, Path::new("/etc"));
    assert!(set(&bare, "UTC").unwrap_err().hint.unwrap().contains("tzdata"));
    // In a plan the package that brings the zones may have been predicted.
    bare.things_may_appear();
    let resource = task("timezone", &[("zone", "UTC".into())]);
    let store = Store::default();
    resource.change(&context(&bare, &store, Mode::Plan)).unwrap();
    assert_eq!(resource.look(&context(&bare, &store, Mode::Plan)).unwrap(), Seen::AsWanted);
}

#[test]
fn names_that_no_zone_can_have_are_refused() {
    for wrong in ["", "/UTC", "Europe/", "Europe//Berlin", "../UTC", "a b", "Euröpe", "a\nb"] {
        assert!(Zone::read(&wrong.into()).is_err(), "{wrong:?}");
    }
    for right in ["UTC", "Etc/GMT+5", "America/Port-au-Prince", "America/Argentina/Rio_Gallegos"] {
        assert!(Zone::read(&right.into()).is_ok(), "{right:?}");
    }
}
