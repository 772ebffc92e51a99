//! What the journal promises: nothing is lost that was written, whatever cuts it off, and it stays small.

use cm_modules::{
    Real, Thing,
    former::{Former, Item, capture},
};

use super::*;

fn state() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::at(folder.path().join("cm"));
    state.prepare().unwrap();
    (folder, state)
}

fn open(state: &StateDir) -> Journal {
    Journal::open(state, 0).unwrap()
}

fn owed(service: &str, because: &str) -> Record {
    Record::Owed { service: service.into(), notice: Owes::Restart, because: because.into(), run: "r".into() }
}

fn debtors(journal: &Journal) -> Vec<String> {
    journal.read(|ledger| ledger.owed.keys().cloned().collect())
}

fn item(path: &Path) -> Item {
    Item::of(&Thing::Path(path.to_owned())).unwrap()
}

#[test]
fn what_is_owed_is_remembered_until_it_is_paid_or_forgiven() {
    let (_folder, state) = state();
    open(&state).write(&[owed("nginx.service", "file:/a"), owed("nginx.service", "file:/a")]).unwrap();
    let journal = open(&state);
    assert_eq!(
        journal.read(|ledger| ledger.owed("nginx.service")),
        [(cm_wire::Notice::Restart, "file:/a".to_owned())]
    );
    journal.write(&[Record::Paid { service: "nginx.service".into() }, owed("b", "x")]).unwrap();
    assert_eq!(debtors(&open(&state)), ["b"]);
    journal.write(&[Record::Forgiven { because: "x".into(), run: "r".into() }]).unwrap();
    assert!(debtors(&open(&state)).is_empty());
}

#[test]
fn a_record_cut_anywhere_is_dropped_and_the_next_one_is_whole() {
    let (_folder, state) = state();
    let path = state.journal();
    open(&state).write(&[owed("a", "1")]).unwrap();
    let first = std::fs::read(&path).unwrap();
    open(&state).write(&[owed("b", "2")]).unwrap();
    let both = std::fs::read(&path).unwrap();
    for cut in first.len()..both.len() {
        std::fs::write(&path, &both[..cut]).unwrap();
        let journal = open(&state);
        assert_eq!(debtors(&journal), ["a"], "cut at {cut}");
        journal.write(&[owed("c", "3")]).unwrap();
        assert_eq!(debtors(&open(&state)), ["a", "c"], "cut at {cut}");
    }
    for cut in 0..MAGIC.len() {
        std::fs::write(&path, &both[..cut]).unwrap();
        assert!(debtors(&open(&state)).is_empty());
    }
}

#[test]
fn a_foreign_file_is_refused() {
    let (_folder, state) = state();
    std::fs::write(state.journal(), "something else").unwrap();
    assert!(Journal::open(&state, 0).is_err());
}

#[test]
fn a_journal_of_the_format_before_is_set_aside_with_the_first_change() {
    let (_folder, state) = state();
    std::fs::write(state.journal(), "cmjrnl01 and what it said").unwrap();
    let journal = open(&state);
    assert!(debtors(&journal).is_empty());
    assert!(state.journal().exists());
    journal.write(&[owed("a", "1")]).unwrap();
    assert_eq!(debtors(&open(&state)), ["a"]);
    let aside = std::fs::read(state.journal().with_extension("01")).unwrap();
    assert_eq!(aside, b"cmjrnl01 and what it said");
}

/// A run that writes a file, as the runner does it.
fn change(journal: &Journal, run: &str, path: &Path, content: &str) {
    let (real, item) = (Real::new(), item(path));
    journal.begin(run, "somebody", 1);
    let former = capture(&real, &item, Some(journal)).unwrap();
    let owner = Owner { role: "web".into(), task: format!("file:{}", path.display()) };
    journal
        .write(&[
            Record::Before { item: item.clone(), former, run: run.into(), time: 1 },
            Record::Touched {
                owner,
                items: vec![item.clone()],
                owes: Vec::new(),
                sensitive: false,
                run: run.into(),
                time: 1,
            },
        ])
        .unwrap();
    std::fs::write(path, content).unwrap();
    let now = capture(&real, &item, None).unwrap();
    journal.write_soon(&[Record::After { item, now, run: run.into() }]).unwrap();
    journal.finish(run).unwrap();
}

#[test]
fn written_anew_it_says_the_same() {
    let (folder, state) = state();
    let journal = open(&state);
    for run in 0..12 {
        let path = folder.path().join(format!("file {}", run % 5));
        change(&journal, &format!("run{run}"), &path, &format!("content {run}"));
        if run == 6 {
            journal.write(&[Record::Released { items: vec![item(&path)], roles: None }]).unwrap();
        }
    }
    journal.write(&[owed("a.service", "x")]).unwrap();
    let ledger = journal.read(Clone::clone);
    let mut again = Ledger::default();
    ledger.records().iter().for_each(|record| again.note(record));
    assert_eq!(again, ledger);
    assert_eq!(open(&state).read(Clone::clone), ledger);
}

#[test]
fn journal_and_contents_stay_within_their_limit_and_first_states_stay_longest() {
    let (folder, state) = state();
    let limit = 200_000;
    let path = folder.path().join("file");
    std::fs::write(&path, "the first content").unwrap();
    for run in 0..300 {
        let journal = Journal::open(&state, limit).unwrap();
        change(&journal, &format!("run{run}"), &path, &format!("{run}").repeat(2000));
        let used = KeptContents::new(state.kept()).size() + std::fs::metadata(state.journal()).unwrap().len();
        assert!(used <= limit, "{used} bytes after run {run}");
    }
    let journal = open(&state);
    let original = journal.read(|ledger| ledger.items[&item(&path)].original().cloned()).unwrap();
    let Former::File(file) = original else { panic!("{original:?}") };
    assert!(file.kept);
    let Some(Content::Bytes(bytes)) = journal.content(&file.content, file.size) else { panic!("not kept") };
    assert_eq!(bytes, b"the first content");
}

#[test]
fn a_content_that_is_too_large_is_told_apart() {
    let (folder, state) = state();
    let journal = Journal::open(&state, 10_000).unwrap();
    let path = folder.path().join("large");
    std::fs::write(&path, vec![7; 20_000]).unwrap();
    let former = capture(&Real::new(), &item(&path), Some(&journal)).unwrap();
    assert!(former.kept().is_none());
}
