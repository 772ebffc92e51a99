//! `mount`: a file system at its mount point, now and at boot.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use cm_wire::Change;

use super::{
    fstab::{Entry, FSTAB, Managed},
    making::{make_parents, making, missing_parents},
};
use crate::{
    AbsolutePath, Class, Context, Doing, Effect, Int, Module, ParamError, Params, Problem, Resource, Seen,
    Sign, Thing, Touches, choice,
    mounted::Mounted,
    node::{FileKind, SettingKind},
    params,
};

choice! {
    /// What is wanted of a mount.
    pub enum MountState {
        /// In /etc/fstab, and mounted.
        Mounted = "mounted",
        /// In /etc/fstab only; whether it is mounted now does not matter.
        Configured = "configured",
        /// Not mounted now; /etc/fstab does not matter.
        Unmounted = "unmounted",
        /// Neither mounted nor in /etc/fstab.
        Absent = "absent",
    }
}

params! {
    /// A file system at its mount point: its line in /etc/fstab and the mount itself. Only that one line is
    /// touched. Other options than before are put on the mount in place; another device or type is mounted
    /// instead of what is there. Of the options of the running mount only `ro`, `noexec`, `nosuid` and
    /// `nodev` are compared, since the kernel shows the others in its own words. A missing mount point is
    /// made as a directory with mode 0755, and is left behind by `unmounted` and `absent`. A `file` task for
    /// the whole of /etc/fstab does not go together with it: each would undo the other.
    pub struct MountTask = "mount" {
        /// The mount point.
        subject path: AbsolutePath,
        /// `mounted`, `configured` (in /etc/fstab only), `unmounted` (now; /etc/fstab stays) or `absent`.
        state: MountState = MountState::Mounted,
        /// What is mounted: a device, `UUID=…` or `LABEL=…`, `server:/path`, a folder or file for `bind`
        /// and `loop`, `tmpfs` for memory.
        device: Option<String>,
        /// The type of the file system, such as `ext4`, `nfs` or `tmpfs`. With the option `bind` it may be
        /// left out.
        fstype: Option<String>,
        /// Options, as a list or parted by commas.
        options: Vec<String> = vec!["defaults".to_owned()],
        /// Whether dump(8) saves it: the fifth field.
        dump: Int<0, 1> = Int(0),
        /// In which pass fsck(8) checks it at boot: the sixth field. 1 for the root, 2 for others, 0: never.
        pass: Int<0, 9> = Int(0),
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &MountTask::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let task = MountTask::from_params(params)?;
    let path = task.path.0;
    let Some(shown) = path.to_str().map(str::to_owned) else {
        return Err(ParamError::new("path", "cannot be written into /etc/fstab: it is no UTF-8"));
    };
    let going = matches!(task.state, MountState::Unmounted | MountState::Absent);
    if going && shown == "/" {
        return Err(ParamError::new("state", "cannot take the root file system away"));
    }
    let wanted = if going {
        for (name, given) in [("device", task.device.is_some()), ("fstype", task.fstype.is_some())] {
            if given {
                let message = format!("cannot be given for a mount that is to be {}", task.state.word());
                return Err(ParamError::new(name, message));
            }
        }
        None
    } else {
        Some(entry(&shown, task.device, task.fstype, &task.options, task.dump.0 != 0, task.pass.0)?)
    };
    Ok(Box::new(Wanted { path, shown, state: task.state, entry: wanted, made: Mutex::new(Vec::new()) }))
}

/// The line of /etc/fstab that the parameters mean.
fn entry(
    path: &str,
    device: Option<String>,
    fstype: Option<String>,
    options: &[String],
    dump: bool,
    pass: i64,
) -> Result<Entry, ParamError> {
    let required = |name: &str| ParamError::new(name, "is required (a string)");
    let options: Vec<&str> = options.iter().flat_map(|list| list.split(',')).map(str::trim).collect();
    let options: Vec<&str> = options.into_iter().filter(|option| !option.is_empty()).collect();
    let bind = options.iter().any(|option| matches!(*option, "bind" | "rbind"));
    let device = device.filter(|device| !device.is_empty()).ok_or_else(|| required("device"))?;
    let fstype = fstype.or_else(|| bind.then(|| "none".to_owned())).filter(|fstype| !fstype.is_empty());
    let fstype = fstype.ok_or_else(|| required("fstype"))?;
    if options.contains(&"remount") {
        return Err(ParamError::new("options", "cannot hold `remount`: it is done where it is needed"));
    }
    let texts = [("device", device.as_str()), ("fstype", &fstype)];
    for (name, text) in texts.into_iter().chain(options.iter().map(|option| ("options", *option))) {
        // The device may be a path, and blanks in it are escaped.
        if text.contains('\0') || (name != "device" && text.contains(char::is_whitespace)) {
            return Err(ParamError::new(
                name,
                format!("cannot hold blanks or line breaks, as {text:?} does"),
            ));
        }
    }
    let device = if bind {
        let source = AbsolutePath::parse(&device)
            .map_err(|message| ParamError::new("device", format!("of a bind mount {message}")))?;
        // Read from UTF-8 just now.
        source.0.to_string_lossy().into_owned()
    } else {
        device
    };
    Ok(Entry {
        device,
        path: path.to_owned(),
        fstype,
        options: if options.is_empty() { "defaults".into() } else { options.join(",") },
        dump: u32::from(dump),
        // Int keeps it within one digit.
        pass: u32::try_from(pass).unwrap_or(0),
    })
}

struct Wanted {
    path: PathBuf,
    /// The path as text.
    shown: String,
    state: MountState,
    /// Its line; none where it is to go.
    entry: Option<Entry>,
    /// Folders that the last look found missing.
    made: Mutex<Vec<PathBuf>>,
}

impl Wanted {
    fn setting(&self) -> Thing {
        Thing::Setting(SettingKind::Mounted, self.shown.clone())
    }

    fn is_ours(&self, entry: &Entry) -> bool {
        // `/srv/` is `/srv`.
        AbsolutePath::parse(&entry.path).is_ok_and(|path| path.0 == self.path)
    }

    fn live(&self, context: &Context<'_>) -> Result<Option<Mounted>, Problem> {
        let value = context.node.setting(SettingKind::Mounted, &self.shown)?;
        Ok(value.and_then(|value| Mounted::parse(&value)))
    }

    fn set(&self, context: &Context<'_>, wanted: Option<&Mounted>) -> Result<(), Problem> {
        let value = wanted.map(ToString::to_string);
        context.node.set(SettingKind::Mounted, &self.shown, value.as_deref(), context.deadline)
    }

    /// How the mount itself differs.
    fn live_changes(&self, context: &Context<'_>) -> Result<Vec<Change>, Problem> {
        let live = self.live(context)?;
        let show =
            |mounted: &Mounted| if context.sensitive { "[secret]".into() } else { mounted.to_string() };
        if self.state != MountState::Mounted {
            let gone = live.filter(|_| self.state != MountState::Configured);
            return Ok(gone
                .map(|live| Change::new("mounted", Some(show(&live)), None))
                .into_iter()
                .collect());
        }
        let Some(wanted) = self.entry.as_ref().map(as_mounted) else { return Ok(Vec::new()) };
        let mut changes = Vec::new();
        match live {
            Some(live) if live.is_same_file_system(&wanted, context.node) => {
                if live.lacks_flags_of(&wanted) {
                    let show =
                        |text: &str| if context.sensitive { "[secret]".to_owned() } else { text.to_owned() };
                    changes.push(Change::new(
                        "options",
                        Some(show(&live.options)),
                        Some(show(&wanted.options)),
                    ));
                }
            }
            live => {
                let stat = context.node.stat(&self.path);
                if stat.doing(format_args!("looking at {}", self.shown))?.is_none() {
                    changes.push(Change::new("mount point", None, Some("directory".into())));
                    let mut made = missing_parents(context, &self.path)?;
                    made.push(self.path.clone());
                    *self.made.lock().unwrap_or_else(PoisonError::into_inner) = made;
                }
                changes.push(Change::new("mounted", live.as_ref().map(show), Some(show(&wanted))));
            }
        }
        Ok(changes)
    }

    /// Makes the directory that is mounted on, or the file where a file is bound to it.
    fn make_mount_point(&self, context: &Context<'_>, wanted: &Mounted) -> Result<(), Problem> {
        let (node, path) = (context.node, &self.path);
        let kind = |path: &Path| {
            let stat = node.stat(path).doing(format_args!("looking at {}", path.display()))?;
            Ok::<_, Problem>(stat.map(|stat| stat.kind))
        };
        match kind(path)? {
            Some(FileKind::Directory) => return Ok(()),
            Some(FileKind::File) if wanted.is_bind() => return Ok(()),
            Some(found) => {
                let problem = Problem::new(format!(
                    "the mount point {} is a {}, not a directory",
                    self.shown,
                    found.word()
                ));
                return Err(match found {
                    FileKind::Link => problem.hint("name the directory that the link points to"),
                    _ => problem.hint("move it away, or choose another mount point"),
                });
            }
            None => {}
        }
        make_parents(context, path)?;
        let of_file = wanted.is_bind() && kind(Path::new(&wanted.device))? == Some(FileKind::File);
        let (file, mode) = if of_file { (FileKind::File, 0o644) } else { (FileKind::Directory, 0o755) };
        let doing = format!("making the mount point {}", self.shown);
        let attributes = node.attributes_of_new(path, mode, file).doing(&doing)?;
        if of_file {
            let empty = crate::node::Content::Bytes(Vec::new());
            return making(
                context,
                path,
                "making the mount point",
                node.write(path, &empty, attributes, None),
            )?;
        }
        match node.make_directory(path, attributes) {
            // A task on the same directory was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            made => making(context, path, "making the mount point", made),
        }
    }
}

fn as_mounted(entry: &Entry) -> Mounted {
    Mounted { device: entry.device.clone(), fstype: entry.fstype.clone(), options: entry.options.clone() }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let removes = matches!(self.state, MountState::Unmounted | MountState::Absent);
        let touches = Touches::new(Class::File)
            .makes(Thing::Mount(self.path.clone()))
            .makes(self.setting())
            .needs(Thing::Path(self.path.clone()))
            .needs(Thing::Path(FSTAB.into()))
            .removes(removes)
            .parents(true);
        match &self.entry {
            // A folder that is bound, or a file that is mounted as a device, comes first.
            Some(entry) if entry.device.starts_with('/') && !entry.device.starts_with("/dev/") => {
                touches.needs(Thing::Path(entry.device.clone().into()))
            }
            _ => touches,
        }
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = made.iter().cloned().map(Thing::Path);
        paths.chain([Thing::Path(FSTAB.into()), self.setting()]).collect()
    }

    fn signs(&self, _context: &Context<'_>) -> Vec<Sign> {
        let mut signs = Sign::of_touches(&self.touches());
        signs.push(Sign::Path(FSTAB.into()));
        signs
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut changes = Vec::new();
        if self.state != MountState::Unmounted {
            let is = |entry: &Entry| self.is_ours(entry);
            changes.extend(Managed { is: &is, wanted: self.entry.as_ref() }.look(context)?);
        }
        changes.extend(self.live_changes(context)?);
        Ok(Seen::from_changes(changes))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let is = |entry: &Entry| self.is_ours(entry);
        let fstab = Managed { is: &is, wanted: self.entry.as_ref() };
        let live = self.live(context)?;
        match (self.state, &self.entry) {
            (MountState::Unmounted | MountState::Absent, _) | (_, None) => {
                // The line goes last: a run that is cut in between finds it again.
                if live.is_some() {
                    self.set(context, None)?;
                }
                if self.state == MountState::Absent {
                    fstab.change(context)?;
                }
            }
            (MountState::Configured, Some(_)) => fstab.change(context)?,
            (MountState::Mounted, Some(entry)) => {
                let wanted = as_mounted(entry);
                match live.filter(|live| live.is_same_file_system(&wanted, context.node)) {
                    Some(live) => {
                        // The line comes last here, too: it is what says that the options are others.
                        let written = fstab.found(context)?.map(|entry| entry.options);
                        if live.lacks_flags_of(&wanted) || written.as_ref() != Some(&wanted.options) {
                            self.set(context, Some(&wanted))?;
                        }
                        fstab.change(context)?;
                    }
                    None => {
                        self.make_mount_point(context, &wanted)?;
                        // First the line: systemd unmounts what an older one says is not to be there.
                        fstab.change(context)?;
                        self.set(context, Some(&wanted))?;
                    }
                }
            }
        }
        Ok(Effect::default())
    }
}

#[cfg(test)]
mod tests;
