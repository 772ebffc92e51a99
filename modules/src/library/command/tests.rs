use cm_wire::{Mode, Stream};

use super::*;
use crate::{Node, Overlay, Real, bench::context};

fn task(line: &str, more: &[(&str, Value)]) -> Box<dyn Resource> {
    let mut params: Params = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    params.insert("command".into(), line.into());
    compile(&params).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(line: &str, more: &[(&str, Value)]) -> String {
    let mut params: Params = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    params.insert("command".into(), line.into());
    compile(&params).err().map_or_else(|| panic!("accepted"), |error| error.to_string())
}

fn runs(seen: Result<Seen, Problem>) -> bool {
    match seen.unwrap() {
        Seen::AsWanted => false,
        Seen::Differs(changes) => {
            assert_eq!(changes[0].attribute, "run");
            true
        }
        other => panic!("{other:?}"),
    }
}

fn path(dir: &tempfile::TempDir, name: &str) -> Value {
    dir.path().join(name).to_str().unwrap().into()
}

#[test]
fn an_unguarded_command_always_runs_and_has_no_drift() {
    let real = Real::new();
    let task = task("true", &[]);
    let start = Context { at_start: true, ..context(&real, Mode::Apply) };
    assert_eq!(
        task.look(&start).unwrap(),
        Seen::Differs(vec![Change::new("run", None, Some("true".into()))])
    );
    assert_eq!(task.look(&context(&real, Mode::Verify)).unwrap(), Seen::AsWanted);
    let effect = task.change(&context(&real, Mode::Apply)).unwrap();
    assert_eq!((effect.changed, effect.final_), (Some(true), true));
}

#[test]
fn guards_decide_only_when_it_is_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let real = Real::new();
    let guards = [
        task("true", &[("creates", path(&dir, "mark"))]),
        task("true", &[("unless", format!("test -e {}", mark.display()).into())]),
        task("true", &[("only_if", format!("! test -e {}", mark.display()).into())]),
        task("true", &[("creates", Value::List(vec![path(&dir, "mark"), path(&dir, "")]))]),
    ];
    let removes = task("true", &[("removes", path(&dir, "mark"))]);
    for mode in [Mode::Apply, Mode::Plan, Mode::Verify] {
        let start = Context { at_start: true, ..context(&real, mode) };
        for guard in &guards {
            assert_eq!(guard.look(&start).unwrap(), Seen::Later);
            assert!(runs(guard.look(&context(&real, mode))));
        }
        assert!(!runs(removes.look(&context(&real, mode))));
    }
    std::fs::write(&mark, "").unwrap();
    for mode in [Mode::Apply, Mode::Plan, Mode::Verify] {
        for guard in &guards {
            assert!(!runs(guard.look(&context(&real, mode))));
        }
        assert!(runs(removes.look(&context(&real, mode))));
    }
}

#[test]
fn of_several_guards_each_can_keep_it_from_running() {
    let real = Real::new();
    let list = |words: &[&str]| Value::List(words.iter().map(|&word| word.into()).collect());
    let look = |name: &str, words: &[&str]| {
        runs(task("true", &[(name, list(words))]).look(&context(&real, Mode::Apply)))
    };
    assert!(look("only_if", &["true", "true"]) && !look("only_if", &["true", "false"]));
    assert!(look("unless", &["false", "false"]) && !look("unless", &["false", "true"]));
    // One whose directory is not there yet does not succeed.
    let late = task("true", &[("unless", "true".into()), ("cwd", "/no/such/place".into())]);
    assert!(runs(late.look(&context(&real, Mode::Apply))));
}

#[test]
fn a_plan_says_unknown_only_where_nobody_can_know() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("there"), "").unwrap();
    let real = Real::new();
    let overlay = Overlay::new(&real);
    let plan = || context(&overlay, Mode::Plan);
    let disturbed = || Context { disturbed: true, ..context(&overlay, Mode::Plan) };
    let unless = task("true", &[("unless", "true".into())]);
    assert!(!runs(unless.look(&plan())));
    // The path of a file decides, whatever the command would say.
    let there = task("true", &[("creates", path(&dir, "there")), ("unless", "true".into())]);
    assert!(!runs(there.look(&disturbed())));
    let missing = task("true", &[("creates", path(&dir, "missing"))]);
    assert!(runs(missing.look(&disturbed())));
    // A condition on the result: unknown, unless the guards say that it does not run.
    let asked = task("true", &[("changed_when", "status == 0".into()), ("creates", path(&dir, "there"))]);
    assert!(!runs(asked.look(&plan())));
    // After a command whose effects nobody knows, a missing path is no longer known to be missing.
    let mark = dir.path().join("ran");
    let effect = task(&format!("touch {}", mark.display()), &[]).change(&plan()).unwrap();
    assert_eq!((effect.changed, effect.final_, mark.exists()), (None, true, false));
    assert!(overlay.may_appear());
    assert_eq!(missing.look(&disturbed()).unwrap(), Seen::Unknown);
}

#[test]
fn after_an_unknown_command_anything_may_be_there() {
    let real = Real::new();
    let asked = task("true", &[("changed_when", "status == 0".into())]);
    let overlay = Overlay::new(&real);
    let start = Context { at_start: true, ..context(&overlay, Mode::Plan) };
    assert_eq!(asked.look(&start).unwrap(), Seen::Later);
    assert!(!overlay.may_appear());
    assert_eq!(asked.look(&context(&overlay, Mode::Plan)).unwrap(), Seen::Unknown);
    assert!(overlay.may_appear());
    let overlay = Overlay::new(&real);
    let unless = task("true", &[("unless", "true".into())]);
    let disturbed = Context { disturbed: true, ..context(&overlay, Mode::Plan) };
    assert_eq!(unless.look(&disturbed).unwrap(), Seen::Unknown);
    assert!(overlay.may_appear());
}

#[test]
fn one_that_never_changes_is_no_change_but_runs() {
    let real = Real::new();
    let task = task("echo asked", &[("changed_when", false.into())]);
    assert_eq!(task.look(&context(&real, Mode::Plan)).unwrap(), Seen::AsWanted);
    assert!(runs(task.look(&context(&real, Mode::Apply))));
    let effect = task.change(&context(&real, Mode::Apply)).unwrap();
    assert_eq!(effect.changed, Some(false));
    assert_eq!(effect.output.unwrap().stdout, "asked\n");
}

#[test]
fn the_result_says_whether_it_changed_or_failed() {
    let real = Real::new();
    let change = |line: &str, more: &[(&str, Value)]| task(line, more).change(&context(&real, Mode::Apply));
    let condition = [("changed_when", "'made' in stdout".into())];
    assert_eq!(change("echo made", &condition).unwrap().changed, Some(true));
    assert_eq!(change("echo same", &condition).unwrap().changed, Some(false));
    let two = [("status", Value::List(vec![Value::Int(0), Value::Int(2)]))];
    assert!(change("exit 2", &two).is_ok());
    let problem = change("echo why >&2; exit 3", &two).unwrap_err();
    assert_eq!(problem.message, "`echo why >&2; exit 3` exited with status 3");
    assert_eq!(problem.output.unwrap().stderr, "why\n");
    let failed = [("failed_when", "'error' in stderr".into())];
    assert!(change("exit 5", &failed).is_ok());
    assert!(change("echo error >&2", &failed).unwrap_err().message.contains("failed_when"));
    assert!(change("no-such-program-here", &[]).unwrap_err().hint.is_some());
    let soon = Context {
        deadline: std::time::Instant::now() + std::time::Duration::from_millis(100),
        ..context(&real, Mode::Apply)
    };
    assert!(task("sleep 60", &[]).change(&soon).unwrap_err().message.contains("did not end in time"));
}

#[test]
fn everything_it_is_given_reaches_it() {
    let dir = tempfile::tempdir().unwrap();
    let real = Real::new();
    let env = Value::Map([("PORT".to_owned(), Value::Int(80)), ("A".to_owned(), "b\nc".into())].into());
    let more = [("cwd", path(&dir, "")), ("env", env), ("stdin", "in put".into())];
    let effect =
        task("pwd; cat; echo; echo $PORT; echo \"$A\"", &more).change(&context(&real, Mode::Apply)).unwrap();
    let wanted = format!("{}\nin put\n80\nb\nc\n", dir.path().display());
    assert_eq!(effect.output.unwrap().stdout, wanted);
    let argv = Value::List(vec!["printf".into(), "%s|".into(), "a b".into(), "$HOME".into()]);
    let effect = task("a name", &[("argv", argv)]).change(&context(&real, Mode::Apply)).unwrap();
    assert_eq!(effect.output.unwrap().stdout, "a b|$HOME|");
}

#[test]
fn output_is_live_unless_it_is_secret() {
    let real = Real::new();
    let seen = std::sync::Mutex::new(String::new());
    let live = |_: Stream, text: &str| seen.lock().unwrap().push_str(text);
    let open = Context { live: &live, ..context(&real, Mode::Apply) };
    task("echo shown", &[]).change(&open).unwrap();
    let secret = Context { sensitive: true, ..open };
    let task = task("echo hidden; exit $((1 - 1))", &[]);
    let Seen::Differs(changes) = task.look(&secret).unwrap() else { panic!() };
    assert_eq!(changes[0].after.as_deref(), Some("[secret]"));
    assert_eq!(task.change(&secret).unwrap().output, None);
    assert_eq!(*seen.lock().unwrap(), "shown\n");
}

#[test]
fn it_is_ordered_with_all_unless_it_is_parallel() {
    let touches = task("true", &[]).touches();
    assert_eq!((touches.class, touches.part), (Class::Opaque, true));
    assert_eq!(task("true", &[("parallel", true.into())]).touches().class, Class::Free);
    let real = Real::new();
    assert!(task("true", &[("creates", "/x".into())]).keeps(&context(&real, Mode::Apply)).is_empty());
}

#[test]
fn what_cannot_run_is_refused_before_any_host_is_touched() {
    assert_eq!(refused(" ", &[]), "`command` is empty");
    assert!(refused("true", &[("changed_when", "created".into())]).contains("names `created`"));
    assert!(refused("true", &[("changed_when", Value::Int(1))]).contains("wants true, false or a condition"));
    assert!(refused("true", &[("status", Value::Int(256))]).contains("0 to 255"));
    let env = |name: &str, value: Value| Value::Map([(name.to_owned(), value)].into());
    assert!(refused("true", &[("env", env("A=B", "x".into()))]).contains("name of a variable"));
    assert!(refused("true", &[("env", env("A", true.into()))]).contains("quote it"));
    assert!(refused("true", &[("argv", Value::List(Vec::new()))]).contains("at least the program"));
    assert!(refused("true", &[("creates", "relative".into())]).contains("absolute"));
}
