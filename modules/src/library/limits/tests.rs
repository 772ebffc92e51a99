//! Limits of sessions.

use std::path::Path;

use cm_wire::Value;

use super::*;
use crate::{
    Empty, Overlay,
    library::trial::{Store, converge, lines, put, put_directory, task},
    node::Files,
};

fn params(pairs: &[(&str, Value)]) -> Params {
    let mut params: Params = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    params.entry("domain".into()).or_insert_with(|| "anna".into());
    params.entry("item".into()).or_insert_with(|| "nofile".into());
    params
}

fn error(pairs: &[(&str, Value)]) -> String {
    compile(&params(pairs)).err().expect("it is refused").to_string()
}

fn path_of(domain: &str) -> PathBuf {
    let resource = compile(&params(&[("domain", domain.into()), ("value", Value::Int(1))])).unwrap();
    let Thing::Path(path) = &resource.touches().makes[0] else { panic!("it makes a file") };
    path.clone()
}

#[test]
fn each_limit_has_a_file_of_its_own() {
    let file = |domain: &str| path_of(domain).file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(file("anna"), "60-cm-nofile-both-anna.conf");
    assert_eq!(file("*"), "60-cm-nofile-both-%2A.conf");
    assert_eq!(file("@www data".replace(' ', "-").as_str()), "60-cm-nofile-both-@www-data.conf");
    assert_eq!(file("%2A"), "60-cm-nofile-both-%252A.conf");
    assert_eq!(file("1000:"), "60-cm-nofile-both-1000%3A.conf");
}

#[test]
fn parameters_are_checked_without_a_node() {
    let value = ("value", Value::Int(1));
    for bad in ["", "@", "a b", "a#b", "*x", "@*", "a:b", ":", "../x", "-"] {
        assert!(error(&[("domain", bad.into()), value.clone()]).starts_with("`domain` "), "{bad:?}");
    }
    for good in ["anna", "@ops", "%ops", "%", "*", ":999", "1000:", "@1000:2000", "1000"] {
        assert!(compile(&params(&[("domain", good.into()), value.clone()])).is_ok(), "{good:?}");
    }
    assert!(error(&[]).starts_with("`value` is required"));
    assert!(error(&[("value", "many".into())]).contains("or `unlimited`, not \"many\""));
    assert!(error(&[("value", Value::Int(-2))]).contains("not \"-2\""));
    assert!(error(&[("item", "nice".into()), ("value", Value::Int(20))]).contains("from -20 to 19"));
    assert!(error(&[("item", "nofiles".into()), value.clone()]).contains("wants one of core, data"));
    assert!(error(&[("type", "all".into()), value.clone()]).contains("wants one of soft, hard, both"));
    assert!(error(&[("state", "absent".into()), value]).contains("to be absent"));
    for good in ["0", "unlimited", "infinity", "-1"] {
        assert!(compile(&params(&[("value", good.into())])).is_ok(), "{good}");
    }
}

#[test]
fn a_limit_comes_drifts_and_goes() {
    let (node, store) = (Overlay::new(&Empty), Store::default());
    for folder in ["/etc", "/etc/security", FOLDER] {
        put_directory(&node, Path::new(folder));
    }
    let limit = |more: &[(&'static str, Value)]| {
        let mut params = vec![("domain", "@ops".into()), ("item", "nofile".into()), ("type", "-".into())];
        params.extend_from_slice(more);
        task("limits", &params)
    };
    let present = limit(&[("value", Value::Int(65536))]);
    converge(&node, &store, &*present).unwrap();
    let path = Path::new("/etc/security/limits.d/60-cm-nofile-both-@ops.conf");
    assert_eq!(node.read(path, 99).unwrap(), b"# Managed by cm.\n@ops - nofile 65536\n");
    put(&node, path, b"# Managed by cm.\n@ops - nofile 1\n", 0o600);
    let changes = converge(&node, &store, &*present).unwrap();
    assert!(changes[0].diff.as_ref().unwrap().contains("-@ops - nofile 1\n+@ops - nofile 65536\n"));
    assert_eq!(lines(&changes[1..]), ["mode: 0600 -> 0644"]);
    converge(&node, &store, &*limit(&[("state", "absent".into())])).unwrap();
    assert_eq!(node.stat(path).unwrap(), None);
}
