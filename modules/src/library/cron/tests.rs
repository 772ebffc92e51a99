//! Jobs of cron.

use std::path::Path;

use cm_wire::{Mode, Value};

use super::*;
use crate::{
    Empty, Overlay,
    library::trial::{Store, context, converge, lines, look, put, put_directory, task},
    node::{FileKind, Files},
};

fn error(pairs: &[(&str, Value)]) -> String {
    let mut params: Params = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    params.entry("name".into()).or_insert_with(|| "job".into());
    compile(&params).err().expect("it is refused").to_string()
}

fn node() -> Overlay<'static> {
    let node = Overlay::new(&Empty);
    for folder in ["/etc", FOLDER] {
        put_directory(&node, Path::new(folder));
    }
    put(&node, Path::new("/etc/passwd"), b"root:x:0:0::/root:/bin/sh\n", 0o644);
    node
}

fn job(more: &[(&'static str, Value)]) -> Box<dyn Resource> {
    let mut params = vec![("name", "backup".into()), ("command", "/usr/bin/backup 'a b' > /dev/null".into())];
    params.extend_from_slice(more);
    task("cron", &params)
}

#[test]
fn a_job_is_a_file_with_variables_schedule_user_and_command() {
    let given = |pairs: &[(&str, Value)]| {
        let params: Params = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        text_of(&Cron::from_params(&params).unwrap()).unwrap()
    };
    let base = [("name", Value::from("a")), ("command", " run \\% it ".into())];
    let with = |more: &[(&'static str, Value)]| given(&[&base[..], more].concat());
    assert_eq!(with(&[("schedule", "@daily".into())]), "# Managed by cm.\n@daily root run \\% it\n");
    let env = Value::Map(
        vec![
            ("MAILTO".into(), "".into()),
            ("PATH".into(), "/bin:/usr/bin".into()),
            ("PAD".into(), " \"x\" ".into()),
            ("N".into(), Value::Int(1)),
        ]
        .into_iter()
        .collect(),
    );
    let text = with(&[
        ("minute", Value::Int(5)),
        ("weekday", "mon-fri".into()),
        ("user", "www-data".into()),
        ("env", env),
    ]);
    let wanted = "MAILTO=\"\"\nN=1\nPAD=' \"x\" '\nPATH=/bin:/usr/bin\n5 * * * mon-fri www-data run \\% it\n";
    assert_eq!(text, format!("# Managed by cm.\n{wanted}"));
}

#[test]
fn parameters_are_checked_without_a_node() {
    let command = ("command", "x".into());
    let schedule = ("schedule", "@daily".into());
    assert!(error(&[("name", "a.b".into()), command.clone(), schedule.clone()]).contains("no dots"));
    assert!(
        error(&[("name", "../x".into()), command.clone(), schedule.clone()]).contains("cannot name a file")
    );
    assert_eq!(error(std::slice::from_ref(&schedule)), "`command` is required (a string)");
    assert!(error(std::slice::from_ref(&command)).starts_with("`schedule` is required"));
    assert!(error(&[("command", "a\nb".into()), schedule.clone()]).contains("line break"));
    assert!(error(&[("command", "x".repeat(999).into()), schedule.clone()]).contains("998"));
    assert!(
        error(&[command.clone(), schedule.clone(), ("hour", Value::Int(1))])
            .starts_with("`hour` cannot be given")
    );
    assert!(error(&[command.clone(), ("minute", Value::Int(60))]).starts_with("`minute` \"60\" is not"));
    assert!(error(&[command.clone(), ("user", "a b".into()), schedule.clone()]).starts_with("`user`"));
    let env = |name: &str, value: &str| {
        ("env", Value::Map([(name.to_owned(), Value::from(value))].into_iter().collect()))
    };
    assert!(error(&[command.clone(), schedule.clone(), env("A B", "x")]).contains("name of a variable"));
    assert!(error(&[command.clone(), schedule.clone(), env("A", " '\"")]).contains("both kinds of quotes"));
    assert!(error(&[("state", "absent".into()), command]).contains("to be absent"));
    assert!(error(&[("state", "absent".into()), schedule]).contains("to be absent"));
}

#[test]
fn a_job_comes_drifts_and_goes() {
    let (node, store, path) = (node(), Store::default(), Path::new("/etc/cron.d/backup"));
    let job = job(&[("schedule", "0 4 * * *".into())]);
    let changes = converge(&node, &store, &*job).unwrap();
    assert_eq!(changes[0], cm_wire::Change::new("state", None, Some("file".into())));
    assert_eq!(
        node.read(path, 999).unwrap(),
        b"# Managed by cm.\n0 4 * * * root /usr/bin/backup 'a b' > /dev/null\n"
    );
    node.set_mode(path, 0o600).unwrap();
    node.set_owner(path, 33, 33).unwrap();
    assert_eq!(lines(&converge(&node, &store, &*job).unwrap()), ["mode: 0600 -> 0644", "owner: 33 -> root"]);
    put(&node, path, b"\xff", 0o644);
    assert_eq!(converge(&node, &store, &*job).unwrap().len(), 1);
    node.remove(path).unwrap();
    node.make_link(path, Path::new("/etc/passwd")).unwrap();
    assert_eq!(lines(&converge(&node, &store, &*job).unwrap()), ["state: link -> file"]);
    assert_eq!(node.stat(path).unwrap().unwrap().kind, FileKind::File);
    let absent = task("cron", &[("name", "backup".into()), ("state", "absent".into())]);
    assert_eq!(lines(&converge(&node, &store, &*absent).unwrap()), ["state: file -> -"]);
    assert_eq!(look(&node, &store, &*absent), []);
    put_directory(&node, path);
    assert!(converge(&node, &store, &*job).unwrap_err().message.ends_with("is a directory, not a file"));
}

#[test]
fn cron_and_the_user_must_be_there() {
    let (node, store) = (node(), Store::default());
    let other = job(&[("schedule", "@daily".into()), ("user", "nobody-here".into())]);
    let problem = converge(&node, &store, &*other).unwrap_err();
    assert_eq!(problem.message, "there is no user `nobody-here` on the node");
    node.remove(Path::new(FOLDER)).unwrap();
    let problem = converge(&node, &store, &*job(&[("schedule", "@daily".into())])).unwrap_err();
    assert!(problem.hint.unwrap().contains("`- package: cron`"), "{}", problem.message);
    let touches = other.touches();
    assert!(touches.needs.contains(&Thing::User("nobody-here".into())));
}

#[test]
fn a_secret_job_is_not_shown() {
    let (node, store) = (node(), Store::default());
    let job = job(&[("schedule", "@daily".into())]);
    let context = Context { sensitive: true, ..context(&node, &store, Mode::Apply) };
    let Seen::Differs(changes) = job.look(&context).unwrap() else { panic!("it is not there yet") };
    assert_eq!(lines(&changes), ["state: - -> file", "content: - -> [secret]"]);
    assert!(changes.iter().all(|change| change.diff.is_none()));
}
