//! Declarations that are whole, and all that can be wrong with one.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use cm_modules::custom::Undo;
use cm_syntax::Style;

use super::*;

const GOOD: &str = "protocol: 1\nsubject: key\nparams:\n  key: { type: string }\n";
const SCRIPT: &str = "#!/bin/sh\necho '{}'\n";

fn write(root: &Path, file: &str, text: &str, mode: u32) {
    let path = root.join(MODULES).join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn read(root: &Path) -> (CustomModules, String) {
    let (sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let modules = CustomModules::read(root, &sources, &mut diagnostics);
    (modules, diagnostics.render(&sources, Style::plain()))
}

/// What is told of this declaration of a module `kv`.
fn told(declaration: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "kv.yaml", declaration, 0o644);
    write(folder.path(), "kv", SCRIPT, 0o755);
    let (modules, told) = read(folder.path());
    assert_eq!(modules.get("kv").is_none(), told.contains("error"), "{told}");
    told
}

#[test]
fn the_example_is_read_as_it_is_meant() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/custom-modules"));
    let (modules, told) = read(root);
    assert_eq!(told, "");
    let names: Vec<&str> = modules.iter().map(|module| module.schema.name).collect();
    assert_eq!(names, ["app_user", "conf_key"]);
    let schema = modules.get("conf_key").unwrap().schema;
    assert_eq!((schema.subject.name, schema.subject.required), ("key", true));
    let declaration = &schema.custom.unwrap().declaration;
    assert_eq!((declaration.undo, &declaration.identity[..]), (Undo::Verb, &["file".to_owned()][..]));
    assert_eq!(declaration.defaults["state"], "present".into());
    let user = &modules.get("app_user").unwrap().schema.custom.unwrap().declaration;
    assert_eq!((user.timeout, &user.secrets[..]), (60, &["token".to_owned()][..]));
    // The same version is one module, however often it is read.
    assert!(std::ptr::eq(read(root).0.get("conf_key").unwrap(), modules.get("conf_key").unwrap()));
}

#[test]
fn what_is_wrong_with_a_declaration_is_told() {
    assert_eq!(told(GOOD), "");
    let with = |line: &str| format!("{GOOD}{line}\n");
    for (declaration, error) in [
        ("subject: key\nparams: { key: { type: string } }\n".to_owned(), "has no `protocol`"),
        (GOOD.replace('1', "2"), "an unknown protocol"),
        ("protocol: 1\nparams: { key: { type: string } }\n".to_owned(), "has no `subject`"),
        (GOOD.replace("subject: key", "subject: kee"), "did you mean `key`"),
        (with("idenity: [key]"), "did you mean `identity`"),
        (with("identity: [file]"), "no parameter `file`"),
        (with("makes: [\"file:{{ key }}\"]"), "begins with one of path"),
        (with("makes: [\"service:{{ key }}\"]"), "begins with one of path"),
        (with("needs: [\"path:{{ file }}\"]"), "no parameter `file`"),
        (with("edits: [\"path:{{ key | lower }}\"]"), "and nothing else"),
        (with("absent: { state: absent }"), "no parameter `state`"),
        (with("absent: {}"), "one parameter and its value"),
        (with("undo: verbs"), "did you mean `verb`"),
        (with("undo: makes"), "which makes nothing"),
        (with("timeout: soon"), "a duration"),
        (with("timeout: 0"), "a duration"),
        (with("programs: { psql: [a] }"), "the name of a package"),
        (with("  when: { type: string }"), "means something else in a task"),
        (with("  kv: { type: string }"), "means something else in a task"),
        (with("  a-b: { type: string }"), "letters, digits"),
        (with("  wait: { type: duration }"), "take an int of seconds"),
        (with("  port: { type: intt }"), "did you mean `int`"),
        (with("  port: { type: int, default: \"x\" }"), "wants a whole number"),
        (with("  port: { type: string, default: \"{{ x }}\" }"), "has a template"),
        (GOOD.replace("type: string", "type: list"), "cannot name what it manages"),
        (GOOD.replace("type: string", "type: string, sensitive: true"), "cannot say which thing"),
    ] {
        let found = told(&declaration);
        assert!(found.contains(error), "{declaration}{found}");
    }
    let sensitive = with("  pass: { type: string, sensitive: true }\nmakes: [\"path:/x/{{ pass }}\"]");
    assert!(told(&sensitive).contains("is sensitive"), "{}", told(&sensitive));
}

#[test]
fn what_is_wrong_with_a_program_is_told() {
    for (file, text, mode, error) in [
        ("kv.py", SCRIPT, 0o755, "rename `modules/kv.py` to `modules/kv`"),
        ("kv", SCRIPT, 0o644, "chmod +x modules/kv"),
        ("kv", "echo '{}'\n", 0o755, "neither a script nor a binary"),
        ("kv", "#!/bin/sh\r\necho\r\n", 0o755, "Windows line ends"),
        ("kv", "#!sh\n", 0o755, "no interpreter by its path"),
        ("kv/x", SCRIPT, 0o755, "is not a file"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "kv.yaml", GOOD, 0o644);
        write(folder.path(), file, text, mode);
        let (modules, told) = read(folder.path());
        assert!(told.contains(error), "{file}: {told}");
        assert!(modules.get("kv").is_none());
    }
}

#[test]
fn names_are_their_own_and_strays_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["file", "when", "Kv", "9a", "_x"] {
        write(folder.path(), &format!("{name}.yaml"), GOOD, 0o644);
        write(folder.path(), name, SCRIPT, 0o755);
    }
    write(folder.path(), "lost", SCRIPT, 0o755);
    write(folder.path(), "README.md", "words", 0o644);
    write(folder.path(), "NOTES", "words", 0o644);
    let (modules, told) = read(folder.path());
    assert_eq!(modules.iter().count(), 0);
    assert!(told.contains("`file` is a module of `cm` itself"), "{told}");
    assert_eq!(told.matches("cannot be the name of a module").count(), 4, "{told}");
    assert!(told.contains("the module `modules/lost` has no declaration"), "{told}");
    assert!(!told.contains("README") && !told.contains("NOTES"), "{told}");
    assert_eq!(read(Path::new("/nonexistent")).1, "");
}
