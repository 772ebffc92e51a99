use std::time::Instant;

use super::*;
use crate::{
    Empty, Node, Overlay,
    bench::context,
    library::trial::{Store, converge, lines, task},
    node::Settings,
    registry,
};

fn set(node: &dyn Node, question: &str, more: &[(&str, Value)]) -> Vec<String> {
    let mut params = vec![("question", question.into())];
    params.extend(more.iter().map(|(name, value)| (*name, value.clone())));
    lines(&converge(node, &Store::default(), task("debconf", &params).as_ref()).unwrap())
}

#[test]
fn an_answer_lives_from_first_to_last() {
    let node = Overlay::new(&Empty);
    let site = [("type", "select".into()), ("value", "Internet Site".into())];
    assert_eq!(set(&node, "postfix/main_mailer_type", &site), ["answer: - -> Internet Site"]);
    assert!(set(&node, "postfix/main_mailer_type", &site).is_empty());
    let key = "postfix postfix/main_mailer_type";
    assert_eq!(node.setting(SettingKind::Debconf, key).unwrap().unwrap(), "select Internet Site");
    node.set(SettingKind::Debconf, key, Some("string Local only"), Instant::now()).unwrap();
    assert_eq!(
        set(&node, "postfix/main_mailer_type", &site),
        ["answer: Local only -> Internet Site", "type: string -> select"]
    );
    let absent = [("state", "absent".into())];
    assert_eq!(set(&node, "postfix/main_mailer_type", &absent), ["answer: Internet Site -> -"]);
    assert!(set(&node, "postfix/main_mailer_type", &absent).is_empty());
    // An empty answer is an answer.
    let empty = [("type", "string".into()), ("value", "".into())];
    assert_eq!(set(&node, "a/b", &empty), ["answer: - -> "]);
    assert!(set(&node, "a/b", &empty).is_empty());
}

#[test]
fn passwords_are_never_shown() {
    let node = Overlay::new(&Empty);
    let password = [("type", "password".into()), ("value", "hush".into())];
    assert_eq!(set(&node, "mysql/root_password", &password), ["answer: - -> [secret]"]);
    let text = [("type", "string".into()), ("value", "open".into())];
    assert_eq!(
        set(&node, "mysql/root_password", &text),
        ["answer: [secret] -> [secret]", "type: password -> string"]
    );
    let sensitive = task("debconf", &[("question", "a/b".into()), text[0].clone(), text[1].clone()]);
    let context = Context { sensitive: true, ..context(&node, cm_wire::Mode::Plan) };
    let Seen::Differs(changes) = sensitive.look(&context).unwrap() else { panic!("it differs") };
    assert_eq!(lines(&changes), ["answer: - -> [secret]"]);
}

/// Taking a run back told the password that the run had set.
#[test]
fn passwords_are_not_shown_when_they_are_taken_back() {
    use crate::former::{Former, Item, Manner, restore};
    let node = Overlay::new(&Empty);
    let password = [("type", "password".into()), ("value", "hush".into())];
    set(&node, "mysql/root_password", &password);
    let item = Item::Setting(SettingKind::Debconf, "mysql mysql/root_password".into());
    let told = |former: &Former| {
        let was = restore(&item, former, Manner::default()).unwrap();
        let Seen::Differs(changes) = was.look(&context(&node, cm_wire::Mode::Plan)).unwrap() else {
            panic!("it differs")
        };
        lines(&changes)
    };
    assert_eq!(told(&Former::Absent), ["value: [secret] -> -"]);
    assert_eq!(told(&Former::Setting("string x".into())), ["value: [secret] -> [secret]"]);
    node.set(SettingKind::Debconf, "mysql mysql/root_password", None, Instant::now()).unwrap();
    assert_eq!(told(&Former::Setting("password x".into())), ["value: - -> [secret]"]);
}

#[test]
fn answers_are_written_as_debconf_keeps_them() {
    let list = Value::List(vec!["en_US.UTF-8 UTF-8".into(), "de_DE.UTF-8 UTF-8".into()]);
    assert_eq!(answer(QuestionType::Multiselect, &list).unwrap(), "en_US.UTF-8 UTF-8, de_DE.UTF-8 UTF-8");
    assert_eq!(answer(QuestionType::Boolean, &Value::Bool(true)).unwrap(), "true");
    assert_eq!(answer(QuestionType::String, &Value::Int(25)).unwrap(), "25");
    assert!(answer(QuestionType::Boolean, &"yes".into()).unwrap_err().contains("true or false"));
    for wrong in ["a\nb", "a\\nb", "a\\", " a", "a "] {
        assert!(answer(QuestionType::String, &wrong.into()).is_err(), "{wrong:?}");
    }
    assert!(answer(QuestionType::String, &list).is_err());
}

#[test]
fn the_package_is_named_or_follows_from_the_question() {
    let touched = |params: &[(&str, Value)]| {
        let all: Params = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        registry::compile("debconf", &all).map(|resource| resource.touches().makes)
    };
    let rest = [("type", "string".into()), ("value", "x".into())];
    let of = |question: &str, package: Option<&str>| {
        let mut params = vec![("question", question.into()), rest[0].clone(), rest[1].clone()];
        params.extend(package.map(|package| ("package", package.into())));
        touched(&params).map_err(|error| error.to_string())
    };
    let key = |key: &str| Ok(vec![Thing::Setting(SettingKind::Debconf, key.into())]);
    assert_eq!(of("postfix/mailname", None), key("postfix postfix/mailname"));
    assert_eq!(of("shared/default-x", Some("xdm")), key("xdm shared/default-x"));
    assert!(of("shared/default-x", None).unwrap_err().contains("does not name its package"));
    assert!(of("mailname", None).unwrap_err().contains("`package` is required"));
    assert!(of("a b/c", None).is_err() && of("a/b", Some("a/b")).is_err());
    assert!(touched(&[("question", "a/b".into())]).unwrap_err().to_string().contains("`type` is required"));
    let absent = [("question", "a/b".into()), ("state", "absent".into()), ("value", "x".into())];
    assert!(touched(&absent).unwrap_err().to_string().contains("to be absent"));
}
