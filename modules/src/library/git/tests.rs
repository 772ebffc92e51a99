//! The git module on real directories, from repositories of this machine.

use std::path::PathBuf;

use cm_wire::Mode;

use super::*;
use crate::{
    Empty, Overlay, Real,
    library::trial::{Store, at, context, converge, lines, look, task},
    node::{Files, Settings},
};

/// A repository with a branch and tags, and a place for work trees.
struct Bench {
    directory: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap(), store: Store::default() };
        std::fs::create_dir(bench.repository()).unwrap();
        bench.git("init -q .");
        bench.commit("file", "one\n");
        bench.git("tag plain");
        bench.git("tag -a -m x v1");
        bench.git("branch old");
        bench
    }

    fn repository(&self) -> PathBuf {
        self.directory.path().join("repo 'x'")
    }

    fn tree(&self) -> PathBuf {
        self.directory.path().join("deep/tree \"y\"")
    }

    fn git(&self, line: &str) -> String {
        git(&self.repository(), line)
    }

    fn commit(&self, file: &str, content: &str) -> String {
        std::fs::write(self.repository().join(file), content).unwrap();
        self.git("add .");
        self.git("commit -q -m x");
        self.git("rev-parse HEAD")
    }

    fn task(&self, more: &[(&'static str, Value)]) -> Box<dyn Resource> {
        let mut params = vec![("path", at(&self.tree())), ("repository", at(&self.repository()))];
        params.extend_from_slice(more);
        task("git", &params)
    }

    fn converge(&self, more: &[(&'static str, Value)]) -> Result<Vec<Change>, Problem> {
        converge(&Real::new(), &self.store, &*self.task(more))
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.tree().join(file)).unwrap()
    }

    fn head(&self) -> String {
        git(&self.tree(), "rev-parse HEAD")
    }
}

fn git(folder: &Path, line: &str) -> String {
    let line = format!("git -c init.defaultBranch=main -c user.name=t -c user.email=t@example {line}");
    let output = std::process::Command::new("sh").args(["-c", &line]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn a_work_tree_follows_the_repository() {
    let bench = Bench::new();
    let one = bench.git("rev-parse HEAD");
    let told = lines(&bench.converge(&[]).unwrap());
    let repository = bench.repository();
    let wanted = [
        "state: - -> work tree".to_owned(),
        format!("repository: - -> {}", repository.display()),
        format!("revision: - -> {} (HEAD)", &one[..12]),
    ];
    assert_eq!(told, wanted);
    assert_eq!(bench.read("file"), "one\n");
    let two = bench.commit("file", "two\n");
    let told = lines(&bench.converge(&[]).unwrap());
    assert_eq!(told, [format!("revision: {} -> {} (HEAD)", &one[..12], &two[..12])]);
    assert_eq!((bench.read("file"), bench.head()), ("two\n".into(), two));
    assert_eq!(bench.converge(&[("revision", "main".into())]).unwrap(), []);
}

#[test]
fn revisions_are_branches_tags_and_commits() {
    let bench = Bench::new();
    let one = bench.git("rev-parse HEAD");
    let two = bench.commit("file", "two\n");
    let three = bench.commit("file", "three\n");
    for (revision, commit) in [
        ("main", &three),
        ("v1", &one),
        (&two, &two),
        ("old", &one),
        ("refs/heads/main", &three),
        ("plain", &one),
        (&two[..9], &two),
        ("refs/tags/v1", &one),
    ] {
        bench.converge(&[("revision", revision.into())]).unwrap();
        assert_eq!(&bench.head(), commit, "{revision}");
    }
    let real = Real::new();
    let apply = context(&real, &bench.store, Mode::Apply);
    let problem = bench.task(&[("revision", "no-such".into())]).look(&apply).unwrap_err();
    assert!(problem.message.contains("has no branch and no tag \"no-such\""), "{}", problem.message);
    let problem = bench.task(&[("revision", "0123456789".into())]).change(&apply).unwrap_err();
    assert!(problem.message.ends_with("has no commit 0123456789"), "{}", problem.message);
}

#[test]
fn a_commit_that_is_there_needs_no_repository() {
    let bench = Bench::new();
    let one = bench.git("rev-parse HEAD");
    bench.converge(&[("revision", one.as_str().into())]).unwrap();
    bench.commit("file", "two\n");
    bench.converge(&[]).unwrap();
    std::fs::rename(bench.repository(), bench.directory.path().join("away")).unwrap();
    bench.converge(&[("revision", one.as_str().into())]).unwrap();
    assert_eq!(bench.head(), one);
    // A branch does; what is missing may come with an earlier task, but not for ever.
    let real = Real::new();
    let follows = bench.task(&[]);
    let start = Context { at_start: true, ..context(&real, &bench.store, Mode::Apply) };
    assert_eq!(follows.look(&start).unwrap(), Seen::Later);
    let problem = follows.look(&context(&real, &bench.store, Mode::Apply)).unwrap_err();
    assert!(problem.message.starts_with("asking "), "{}", problem.message);
    assert_eq!(look(&real, &bench.store, &*bench.task(&[("update", false.into())])), []);
}

#[test]
fn changes_by_hand_stay_unless_they_are_to_go() {
    let bench = Bench::new();
    bench.converge(&[]).unwrap();
    let write = |file: &str, content: &str| std::fs::write(bench.tree().join(file), content).unwrap();
    write("file", "by hand\n");
    write("untracked", "mine\n");
    let real = Real::new();
    assert_eq!(look(&real, &bench.store, &*bench.task(&[])), [], "it is at its revision");
    let two = bench.commit("other", "x\n");
    let problem = bench.converge(&[]).unwrap_err();
    assert!(problem.message.ends_with("1 changed: file"), "{}", problem.message);
    assert!(problem.hint.unwrap().starts_with("`force: true`"));
    assert_eq!(bench.read("file"), "by hand\n");
    let force = ("force", Value::Bool(true));
    let told = lines(&bench.converge(std::slice::from_ref(&force)).unwrap());
    assert!(told[1].starts_with("files: 1 changed: file -> as in "), "{told:?}");
    assert_eq!(
        (bench.read("file"), bench.read("untracked"), bench.head()),
        ("one\n".into(), "mine\n".into(), two)
    );
    // Drift alone is mended, too: a file that was changed, one that was removed.
    write("file", "again\n");
    std::fs::remove_file(bench.tree().join("other")).unwrap();
    let told = lines(&bench.converge(&[force]).unwrap());
    assert!(told[0].starts_with("files: 2 changed: file, other"), "{told:?}");
    assert_eq!((bench.read("file"), bench.read("other")), ("one\n".into(), "x\n".into()));
}

/// A run was killed between fetching and the end of the checkout: what is there is git's own.
#[test]
fn a_checkout_that_was_cut_off_is_ended() {
    let bench = Bench::new();
    bench.converge(&[]).unwrap();
    let two = bench.commit("file", "two\n");
    git(&bench.tree(), &format!("config {PENDING} {two}"));
    std::fs::write(bench.tree().join("file"), "tw").unwrap();
    bench.converge(&[]).unwrap();
    assert_eq!((bench.head(), bench.read("file")), (two, "two\n".into()));
    // One that ended forgives nothing later.
    bench.commit("file", "three\n");
    std::fs::write(bench.tree().join("file"), "by hand").unwrap();
    bench.converge(&[]).unwrap_err();
    // And the first one, which has no commit to go back to.
    std::fs::remove_dir_all(bench.tree()).unwrap();
    std::fs::create_dir(bench.tree()).unwrap();
    git(&bench.tree(), "init -q .");
    std::fs::write(bench.tree().join("file"), "thr").unwrap();
    git(&bench.tree(), &format!("config {PENDING} {}", "0".repeat(40)));
    bench.converge(&[("update", false.into())]).unwrap();
    assert_eq!(bench.read("file"), "three\n");
}

#[test]
fn another_repository_is_taken_and_depth_is_kept_small() {
    let bench = Bench::new();
    bench.converge(&[]).unwrap();
    let other = bench.directory.path().join("other.git");
    git(&bench.repository(), &format!("clone -q --bare . '{}'", other.display()));
    bench.commit("file", "two\n");
    let url = format!("file://{}", other.display());
    let task = || task("git", &[("path", at(&bench.tree())), ("repository", url.as_str().into())]);
    let told = lines(&converge(&Real::new(), &bench.store, &*task()).unwrap());
    assert_eq!(told, [format!("repository: {} -> {url}", bench.repository().display())]);
    std::fs::remove_dir_all(bench.tree()).unwrap();
    let shallow = Value::from(format!("file://{}", bench.repository().to_str().unwrap()).as_str());
    let shallow = crate::library::trial::task(
        "git",
        &[("path", at(&bench.tree())), ("repository", shallow), ("depth", Value::Int(1))],
    );
    converge(&Real::new(), &bench.store, &*shallow).unwrap();
    assert_eq!(git(&bench.tree(), "rev-list --count HEAD"), "1");
}

#[test]
fn what_is_in_the_way_is_a_problem() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.tree()).unwrap();
    std::fs::write(bench.tree().join("mine"), "").unwrap();
    let problem = bench.converge(&[]).unwrap_err();
    assert!(problem.message.ends_with("is no work tree and not empty: mine"), "{}", problem.message);
    std::fs::remove_dir_all(bench.tree()).unwrap();
    std::fs::write(bench.tree(), "").unwrap();
    assert!(bench.converge(&[]).unwrap_err().message.ends_with("is a file, not a directory"));
}

#[test]
fn what_it_makes_is_kept_for_the_way_back() {
    let bench = Bench::new();
    let real = Real::new();
    let task = bench.task(&[]);
    let tree = bench.tree();
    let setting = Thing::Setting(SettingKind::GitCheckout, tree.to_str().unwrap().to_owned());
    let context = context(&real, &bench.store, Mode::Apply);
    let made = [tree.parent().unwrap(), &tree].map(|path| Thing::Path(path.to_owned()));
    assert_eq!(task.keeps(&context), [&made[..], std::slice::from_ref(&setting)].concat());
    bench.converge(&[]).unwrap();
    assert_eq!(task.keeps(&context), [setting]);
    let before = real.setting(SettingKind::GitCheckout, tree.to_str().unwrap()).unwrap().unwrap();
    bench.commit("file", "two\n");
    bench.converge(&[]).unwrap();
    real.set(SettingKind::GitCheckout, tree.to_str().unwrap(), Some(&before), context.deadline).unwrap();
    assert_eq!(bench.read("file"), "one\n");
}

/// git and the repository come with a package of the same run.
#[test]
fn a_plan_goes_on_where_git_is_yet_to_come() {
    let (node, store) = (Overlay::new(&Empty), Store::default());
    let task = task("git", &[("path", "/srv/app".into()), ("repository", "https://h/x".into())]);
    let start = Context { at_start: true, ..context(&node, &store, Mode::Plan) };
    let Seen::Differs(changes) = task.look(&start).unwrap() else { panic!() };
    assert_eq!(lines(&changes)[2], "revision: - -> HEAD");
    crate::Node::things_may_appear(&node);
    let plan = context(&node, &store, Mode::Plan);
    task.change(&plan).unwrap();
    assert_eq!(task.look(&plan).unwrap(), Seen::AsWanted);
    assert_eq!(node.stat(Path::new("/srv/app")).unwrap().unwrap().kind, FileKind::Directory);
    // Without such a package it is told what is missing.
    let bare = Overlay::new(&Empty);
    let problem = task.change(&context(&bare, &store, Mode::Apply)).err();
    assert!(problem.is_none_or(|problem| problem.hint.is_some()));
}

#[test]
fn what_is_no_address_or_revision_is_refused() {
    let refused = |repository: &str, revision: &str| {
        let params: Params = [("path", "/x"), ("repository", repository), ("revision", revision)]
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into();
        compile(&params).err().expect("it is refused").to_string()
    };
    for repository in ["", "--upload-pack=evil", "ext::sh -c evil", "a\nb"] {
        assert!(refused(repository, "main").starts_with("`repository`"), "{repository}");
    }
    for revision in ["", "-x", "a..b", "HEAD~1", "a b", "x^{}"] {
        assert!(refused("/x", revision).starts_with("`revision`"), "{revision}");
    }
}
