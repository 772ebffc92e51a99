use std::time::Instant;

use super::*;
use crate::{
    Empty, Node, Overlay,
    bench::context,
    library::trial::{Store, converge, lines, put, put_directory, task},
    node::{Files, Settings},
    registry,
};

const EDITOR: &str = "auto\n/usr/bin/editor\neditor.1.gz\n/usr/share/man/man1/editor.1.gz\n\n\
    /bin/ed\n-100\n/usr/share/man/man1/ed.1.gz\n/usr/bin/vim\n30\n\n\n";

fn node() -> Overlay<'static> {
    let node = Overlay::new(&Empty);
    let folders =
        ["/bin", "/usr", "/usr/bin", "/opt", "/var", "/var/lib", "/var/lib/dpkg", GROUPS, "/etc", LINKS];
    for folder in folders {
        put_directory(&node, Path::new(folder));
    }
    for program in ["/bin/ed", "/usr/bin/vim", "/opt/my ed"] {
        put(&node, Path::new(program), b"", 0o755);
    }
    put(&node, &Path::new(GROUPS).join("editor"), EDITOR.as_bytes(), 0o644);
    node.set(SettingKind::Alternative, "editor", Some("auto /usr/bin/vim"), Instant::now()).unwrap();
    node
}

fn resource(name: &str, more: &[(&str, Value)]) -> Box<dyn Resource> {
    let mut params = vec![("name", name.into())];
    params.extend(more.iter().map(|(name, value)| (*name, value.clone())));
    task("alternatives", &params)
}

fn set(node: &dyn Node, name: &str, more: &[(&str, Value)]) -> Result<Vec<String>, Problem> {
    converge(node, &Store::default(), resource(name, more).as_ref()).map(|changes| lines(&changes))
}

fn group(node: &dyn Node, name: &str) -> String {
    String::from_utf8(node.read(&Path::new(GROUPS).join(name), 10_000).unwrap()).unwrap()
}

#[test]
fn a_choice_is_selected_and_given_back() {
    let node = node();
    let ed = [("path", "/bin/ed".into())];
    assert_eq!(set(&node, "editor", &ed).unwrap(), ["selected: auto /usr/bin/vim -> manual /bin/ed"]);
    assert!(set(&node, "editor", &ed).unwrap().is_empty());
    assert_eq!(group(&node, "editor"), EDITOR, "its tool writes the mode");
    let auto = [("state", "auto".into())];
    assert_eq!(set(&node, "editor", &auto).unwrap(), ["selected: manual /bin/ed -> auto /usr/bin/vim"]);
    assert!(set(&node, "editor", &auto).unwrap().is_empty());
    // The same path, chosen by hand: another package would change it.
    node.set(SettingKind::Alternative, "editor", Some("manual /usr/bin/vim"), Instant::now()).unwrap();
    assert_eq!(set(&node, "editor", &auto).unwrap(), ["selected: manual /usr/bin/vim -> auto /usr/bin/vim"]);
}

#[test]
fn a_path_is_registered_and_taken_out() {
    let node = node();
    let mine =
        [("path", "/opt/my ed".into()), ("link", "/usr/bin/editor".into()), ("priority", Value::Int(50))];
    assert_eq!(
        set(&node, "editor", &mine).unwrap(),
        ["choice: - -> priority 50", "selected: auto /usr/bin/vim -> manual /opt/my ed"]
    );
    assert_eq!(group(&node, "editor"), EDITOR.replace("/usr/bin/vim\n", "/opt/my ed\n50\n\n/usr/bin/vim\n"));
    let less = [mine[0].clone(), mine[1].clone(), ("priority", Value::Int(5)), ("state", "auto".into())];
    assert_eq!(
        set(&node, "editor", &less).unwrap(),
        ["choice: priority 50 -> priority 5", "selected: manual /opt/my ed -> auto /usr/bin/vim"]
    );
    let absent = [("path", "/opt/my ed".into()), ("state", "absent".into())];
    assert_eq!(set(&node, "editor", &absent).unwrap(), ["choice: priority 5 -> -"]);
    assert!(set(&node, "editor", &absent).unwrap().is_empty());
    assert_eq!(group(&node, "editor"), EDITOR);
    // Who stood for what goes stands for the best of the rest.
    let vim = [("path", "/usr/bin/vim".into()), ("state", "absent".into())];
    assert_eq!(
        set(&node, "editor", &vim).unwrap(),
        ["choice: priority 30 -> -", "selected: auto /usr/bin/vim -> auto /bin/ed"]
    );
}

#[test]
fn a_group_is_made_and_goes_with_its_last_choice() {
    let node = node();
    let new = [("path", "/bin/ed".into()), ("link", "/usr/bin/line-ed".into()), ("priority", Value::Int(-1))];
    assert_eq!(
        set(&node, "line-ed", &new).unwrap(),
        ["choice: - -> priority -1", "link: - -> /usr/bin/line-ed", "selected: - -> manual /bin/ed"]
    );
    assert_eq!(group(&node, "line-ed"), "auto\n/usr/bin/line-ed\n\n/bin/ed\n-1\n\n");
    assert!(set(&node, "line-ed", &new).unwrap().is_empty());
    let absent = [("path", "/bin/ed".into()), ("state", "absent".into())];
    assert_eq!(
        set(&node, "line-ed", &absent).unwrap(),
        ["choice: priority -1 -> -", "selected: manual /bin/ed -> -"]
    );
    assert!(node.stat(&Path::new(GROUPS).join("line-ed")).unwrap().is_none());
    assert!(set(&node, "line-ed", &absent).unwrap().is_empty());
}

#[test]
fn what_is_missing_is_told() {
    let node = node();
    let problem = |name: &str, more: &[(&str, Value)]| set(&node, name, more).unwrap_err();
    let nano = [("path", "/bin/nano".into())];
    assert_eq!(problem("pager", &nano).message, "there is no link group `pager` on the node");
    let unknown = problem("editor", &nano);
    assert_eq!(unknown.message, "/bin/nano is no choice of the link group `editor`");
    assert!(unknown.hint.unwrap().contains("its choices: /bin/ed, /usr/bin/vim;"));
    let more = [nano[0].clone(), ("link", "/usr/bin/editor".into()), ("priority", Value::Int(1))];
    assert_eq!(problem("editor", &more).message, "there is no /bin/nano for the link group `editor`");
    let other = [("path", "/bin/ed".into()), ("link", "/usr/bin/edit".into()), ("priority", Value::Int(1))];
    assert!(problem("editor", &other).message.contains("is /usr/bin/editor, not /usr/bin/edit"));
    put(&node, &Path::new(GROUPS).join("broken"), b"x", 0o644);
    let look = resource("broken", &nano).look(&context(&node, cm_wire::Mode::Plan));
    assert!(look.unwrap_err().message.contains("not a file of update-alternatives"));
    // In a plan the package may bring group and program.
    node.things_may_appear();
    let resource = resource("pager", &[("state", "auto".into())]);
    let context = context(&node, cm_wire::Mode::Plan);
    resource.change(&context).unwrap();
    assert_eq!(resource.look(&context).unwrap(), Seen::AsWanted);
}

#[test]
fn parameters_that_mean_nothing_are_refused() {
    let error = |more: &[(&str, Value)]| {
        let mut all: Params = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        all.insert("name".into(), "editor".into());
        registry::compile("alternatives", &all).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(error(&[]), "`path` is required (an absolute path)");
    assert!(error(&[("path", "/a".into()), ("link", "/b".into())]).starts_with("`priority` is required"));
    assert!(error(&[("path", "/a".into()), ("priority", Value::Int(1))]).starts_with("`link` is required"));
    assert!(error(&[("path", "/a\nb".into())]).contains("line break"));
    for wrong in ["", "a/b", "../x", "a b", ".x", "-x"] {
        assert!(GroupName::read(&wrong.into()).is_err(), "{wrong:?}");
    }
}
