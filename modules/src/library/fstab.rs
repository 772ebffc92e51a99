//! Lines of /etc/fstab, edited one at a time: the rest of the file stays byte for byte.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use cm_wire::Change;

use super::{
    ownership::Ownership,
    text_edit::{Lines, TextEdit},
};
use crate::{
    Context, Doing, Problem, Seen,
    mounted::{escape, unescape},
    node::FileKind,
};

/// Where file systems and swap areas are listed (fstab(5)).
pub const FSTAB: &str = "/etc/fstab";

/// Tasks on different lines of the file run at once; each reads and writes the whole of it.
static EDITING: Mutex<()> = Mutex::new(());

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is mounted.
    pub device: String,
    /// Where; `none` for a swap area.
    pub path: String,
    /// Its type.
    pub fstype: String,
    /// Options parted by commas.
    pub options: String,
    /// Whether dump(8) saves it.
    pub dump: u32,
    /// In which pass fsck(8) checks it; 0: never.
    pub pass: u32,
}

impl Entry {
    /// Reads a line; none for one that is empty, a comment, or lacks fields.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|field| !field.is_empty());
        let device = fields.next().filter(|device| !device.starts_with(b"#")).map(unescape)?;
        let mut next = || fields.next().map(unescape);
        let (path, fstype) = (next()?, next()?);
        let options = next().unwrap_or_else(|| "defaults".into());
        let mut number = || next().map_or(Some(0), |text| text.parse().ok());
        Some(Self { device, path, fstype, options, dump: number()?, pass: number()? })
    }

    fn line(&self) -> String {
        format!(
            "{} {} {} {} {} {}",
            field(&self.device),
            field(&self.path),
            field(&self.fstype),
            field(&self.options),
            self.dump,
            self.pass
        )
    }
}

/// A field as it is written; a number sign at its start would make a comment of the line.
fn field(text: &str) -> String {
    let text = escape(text);
    match text.strip_prefix('#') {
        Some(rest) => format!("\\043{rest}"),
        None => text,
    }
}

/// A line that a task manages.
pub struct Managed<'a> {
    /// Whether a line is the one; of several the first counts, and the others go.
    pub is: &'a dyn Fn(&Entry) -> bool,
    /// What it is to be; none: there is to be none.
    pub wanted: Option<&'a Entry>,
}

impl Managed<'_> {
    /// The whole new text.
    fn edit(&self, text: &[u8]) -> Vec<u8> {
        let mut lines = Lines::of(text);
        let ours = |line: &[u8]| Entry::parse(line).filter(|entry| (self.is)(entry));
        let Some(wanted) = self.wanted else {
            lines.retain(|line| ours(&line.text).is_none());
            return lines.join();
        };
        let written = wanted.line();
        match lines.as_slice().iter().position(|line| ours(&line.text).is_some()) {
            None => lines.insert(lines.as_slice().len(), written.as_bytes()),
            Some(index) => {
                let found = &lines.as_slice()[index];
                if ours(&found.text).as_ref() != Some(wanted) {
                    lines.replace(index, written.as_bytes());
                }
                let mut first = true;
                lines.retain(|line| ours(&line.text).is_none() || std::mem::take(&mut first));
            }
        }
        lines.join()
    }

    /// The line that is there now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn found(&self, context: &Context<'_>) -> Result<Option<Entry>, Problem> {
        let path = Path::new(FSTAB);
        let stat = context.node.stat(path).doing(format_args!("looking at {FSTAB}"))?;
        if stat.is_none_or(|stat| stat.kind != FileKind::File) {
            return Ok(None);
        }
        let text = context.node.read(path, 16 << 20).doing(format_args!("reading {FSTAB}"))?;
        let entries = Lines::of(&text);
        Ok(entries
            .as_slice()
            .iter()
            .find_map(|line| Entry::parse(&line.text).filter(|entry| (self.is)(entry))))
    }

    /// How the file differs from what is wanted.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn look(&self, context: &Context<'_>) -> Result<Option<Change>, Problem> {
        let ownership = Ownership::default();
        let seen = self.file(&ownership).look(context, |text| Ok(self.edit(text)))?;
        let Seen::Differs(changes) = seen else { return Ok(None) };
        let content = changes.into_iter().find(|change| change.attribute == "content");
        Ok(content.map(|change| Change { attribute: "fstab".into(), ..change }))
    }

    /// Edits the file where it differs, and has systemd read it again: it makes units of the lines, and an
    /// older one would undo what is mounted now.
    ///
    /// # Errors
    /// When it cannot be written or systemd does not answer.
    pub fn change(&self, context: &Context<'_>) -> Result<(), Problem> {
        {
            // Poisoned: another thread panicked; the file is whole.
            let _alone = EDITING.lock().unwrap_or_else(PoisonError::into_inner);
            if self.look(context)?.is_none() {
                return Ok(());
            }
            let ownership = Ownership::default();
            self.file(&ownership).change(context, |text| Ok(self.edit(text)))?;
        }
        let booted = Path::new("/run/systemd/system");
        let systemd = context.node.stat(booted).doing(format_args!("looking at {}", booted.display()))?;
        if systemd.is_some() { context.node.reload_units(context.deadline) } else { Ok(()) }
    }

    fn file<'a>(&self, ownership: &'a Ownership) -> TextEdit<'a> {
        TextEdit { path: Path::new(FSTAB), create: true, takes_away: self.wanted.is_none(), ownership }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"# UNCONFIGURED FSTAB\nUUID=1-2\t/\text4\terrors=remount-ro 0 1\n\n\
        /dev/sdb1  /mnt/my\\040data  xfs\n/swapfile none swap sw 0 0\nbroken line\n  # indented\n";

    fn entry(path: &str, options: &str) -> Entry {
        Entry {
            device: "/dev/sdb1".into(),
            path: path.into(),
            fstype: "xfs".into(),
            options: options.into(),
            dump: 0,
            pass: 2,
        }
    }

    fn edited(path: &str, wanted: Option<&Entry>, text: &[u8]) -> String {
        let managed = Managed { is: &|entry| entry.path == path, wanted };
        let after = managed.edit(text);
        assert_eq!(managed.edit(&after), after, "a second edit changes something");
        String::from_utf8_lossy(&after).into_owned()
    }

    #[test]
    fn lines_are_read_with_what_they_leave_out() {
        let found = Entry::parse(b"/dev/sdb1  /mnt/my\\040data  xfs").unwrap();
        assert_eq!(
            (found.path.as_str(), found.options.as_str(), found.pass),
            ("/mnt/my data", "defaults", 0)
        );
        for none in ["", "  ", "# /dev/sda / ext4", "/dev/sda /", "/dev/sda / ext4 rw x y"] {
            assert_eq!(Entry::parse(none.as_bytes()), None, "{none:?}");
        }
        let strange = Entry { device: "#a b".into(), ..entry("/x", "a=\\") };
        assert_eq!(strange.line(), "\\043a\\040b /x xfs a=\\134 0 2");
        assert_eq!(Entry::parse(strange.line().as_bytes()), Some(strange));
    }

    #[test]
    fn only_the_one_line_changes() {
        let before = String::from_utf8_lossy(TABLE).into_owned();
        let wanted = entry("/mnt/my data", "noatime");
        assert_eq!(
            edited("/mnt/my data", Some(&wanted), TABLE),
            before.replace(
                "/dev/sdb1  /mnt/my\\040data  xfs\n",
                "/dev/sdb1 /mnt/my\\040data xfs noatime 0 2\n"
            )
        );
        assert_eq!(
            edited("/mnt/my data", None, TABLE),
            before.replace("/dev/sdb1  /mnt/my\\040data  xfs\n", "")
        );
        assert_eq!(
            edited("/new", Some(&entry("/new", "ro")), TABLE),
            format!("{before}/dev/sdb1 /new xfs ro 0 2\n")
        );
        assert_eq!(edited("/nowhere", None, TABLE), before);
    }

    #[test]
    fn a_line_that_says_the_same_otherwise_stays() {
        let text = "/dev/sdb1\t\t/srv xfs   ro 0\t2\n";
        assert_eq!(edited("/srv", Some(&entry("/srv", "ro")), text.as_bytes()), text);
        // A file of another system, or without an end to its last line.
        assert_eq!(
            edited("/srv", Some(&entry("/srv", "rw")), b"a /a b\r\nc /srv d\r\n"),
            "a /a b\r\n/dev/sdb1 /srv xfs rw 0 2\r\n"
        );
        assert_eq!(
            edited("/srv", Some(&entry("/srv", "rw")), b"a /a b"),
            "a /a b\n/dev/sdb1 /srv xfs rw 0 2\n"
        );
        assert_eq!(
            edited("/srv", Some(&entry("/srv", "rw")), b"\xff /a b\n"),
            "\u{fffd} /a b\n/dev/sdb1 /srv xfs rw 0 2\n"
        );
    }

    #[test]
    fn of_several_lines_the_first_stays() {
        let text = b"/dev/sdb1 /srv xfs rw 0 2\n# more\n/dev/sdc1 /srv ext4\n";
        assert_eq!(edited("/srv", Some(&entry("/srv", "rw")), text), "/dev/sdb1 /srv xfs rw 0 2\n# more\n");
        assert_eq!(edited("/srv", None, text), "# more\n");
    }
}
