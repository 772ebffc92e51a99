//! `unit`: a systemd unit file of the administrator, and that systemd has read it.
//!
//! The file itself is a [`super::file`] resource at `/etc/systemd/system/NAME`.

use std::path::{Path, PathBuf};

use cm_wire::{Change, ContentRef, Value};

use super::file;
use super::presence::State;
use crate::{
    Class, Context, Doing, Effect, FileMode, InlineContent, Module, ParamError, Params, Prefetch, Problem,
    Resource, Seen, SourceContent, TemplateContent, Thing, Touches,
    node::{Attributes, Command, UnitAction, UnitState},
    params,
    unit_name::UnitName,
};

/// Where an administrator's unit files are (systemd.unit(5)).
const FOLDER: &str = "/etc/systemd/system";
/// Where packages put theirs.
const VENDOR_FOLDERS: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

params! {
    /// A systemd unit file in /etc/systemd/system, read by systemd (daemon-reload) when it has changed. A
    /// `service` task runs and enables it.
    pub struct Unit = "unit" {
        /// Its name with suffix, such as `myapp.service` or `backup.timer`, or that of a drop-in:
        /// `nginx.service.d/limits.conf`.
        subject name: String,
        /// `present` or `absent`. An absent unit is stopped and disabled before its file is removed.
        state: State = State::Present,
        /// The content as text; may be a template itself.
        content: Option<InlineContent>,
        /// A file of the role's templates/, rendered.
        template: Option<TemplateContent>,
        /// A file of the role's files/, copied as it is.
        source: Option<SourceContent>,
        /// Its mode, such as "0644". A new file gets 0644.
        mode: Option<FileMode>,
        /// Ask `systemd-analyze verify` about the new file before it takes the old one's place. It also
        /// refuses units that name programs and units which are not there yet.
        verify: bool = false,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Unit::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let unit = Unit::from_params(params)?;
    let name = Name::parse(&unit.name).map_err(|message| ParamError::new("name", message))?;
    let contents = [
        unit.content.map(|content| content.0),
        unit.template.map(|content| content.0),
        unit.source.map(|content| content.0),
    ];
    let content = contents.into_iter().flatten().next();
    if unit.state == State::Present && content.is_none() {
        return Err(ParamError::new("content", "or `template` or `source` is required"));
    }
    if unit.verify && !matches!(name, Name::Unit(_)) {
        return Err(ParamError::new("verify", "is not possible for a drop-in: it is no unit by itself"));
    }
    let path = Path::new(FOLDER).join(&unit.name);
    let mut given: Params = params.clone();
    given.retain(|key, _| !matches!(key.as_str(), "name" | "verify"));
    // Unit names are ASCII.
    given
        .insert(file::File::SCHEMA.subject.name.to_owned(), Value::Text(path.to_string_lossy().into_owned()));
    let file = (file::MODULE.compile)(&given)?;
    Ok(Box::new(Wanted { name, path, file, state: unit.state, verified: content.filter(|_| unit.verify) }))
}

/// What the file is to systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// A unit that can be started.
    Unit(String),
    /// A template of units.
    Template(String),
    /// A part of this unit's configuration, in a folder of its own. None for a folder that stands for
    /// many units (`service.d`, `foo-.service.d`).
    DropIn(Option<String>),
}

impl Name {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some((folder, file)) = text.split_once('/') {
            let unit = folder.strip_suffix(".d").filter(|unit| !unit.is_empty());
            let good = file.strip_suffix(".conf").is_some_and(|stem| !stem.is_empty() && !file.contains('/'));
            let (Some(unit), true) = (unit, good) else {
                return Err(format!("{text:?} is not a drop-in such as nginx.service.d/limits.conf"));
            };
            if file.bytes().any(|byte| !(byte.is_ascii_alphanumeric() || b"-_.@:\\".contains(&byte))) {
                return Err(format!("{text:?} has characters that the name of a drop-in cannot have"));
            }
            let name = UnitName::parse(unit)?;
            let one = name.as_str() == unit && !name.is_template() && !unit.contains("-.");
            return Ok(Self::DropIn(one.then(|| unit.to_owned())));
        }
        let name = UnitName::parse(text)?;
        if name.as_str() != text {
            return Err(format!("{text:?} has no suffix; did you mean {:?}?", name.as_str()));
        }
        Ok(if name.is_template() { Self::Template(text.to_owned()) } else { Self::Unit(text.to_owned()) })
    }

    /// The unit whose state says whether systemd has read the file.
    fn unit(&self) -> Option<&str> {
        match self {
            Self::Unit(name) | Self::DropIn(Some(name)) => Some(name),
            Self::Template(_) | Self::DropIn(None) => None,
        }
    }
}

struct Wanted {
    name: Name,
    path: PathBuf,
    file: Box<dyn Resource>,
    state: State,
    /// The content to ask `systemd-analyze verify` about.
    verified: Option<ContentRef>,
}

impl Wanted {
    fn read(&self, context: &Context<'_>) -> Result<Option<UnitState>, Problem> {
        let Some(name) = self.name.unit() else { return Ok(None) };
        Ok(context.node.units(&[name.to_owned()])?.remove(name))
    }

    /// systemd has read an older version: a run was cut between the file and the reload.
    fn is_stale(&self, context: &Context<'_>) -> Result<bool, Problem> {
        Ok(self.read(context)?.is_some_and(|unit| unit.stale))
    }

    /// Stops and disables a unit that is to go, unless a package's own file stays behind it.
    fn retire(&self, context: &Context<'_>) -> Result<(), Problem> {
        let Name::Unit(name) = &self.name else { return Ok(()) };
        let node = context.node;
        for folder in VENDOR_FOLDERS {
            let vendor = Path::new(folder).join(name);
            if node.stat(&vendor).doing(format_args!("looking at {}", vendor.display()))?.is_some() {
                return Ok(());
            }
        }
        let Some(unit) = self.read(context)?.filter(|unit| unit.load != "not-found") else { return Ok(()) };
        match unit.active.as_str() {
            "inactive" => {}
            // It would go on being listed as failed, without its file.
            "failed" => node.unit(name, UnitAction::Forget, context.deadline)?,
            _ => node.unit(name, UnitAction::Stop, context.deadline)?,
        }
        if !matches!(unit.file.as_str(), "static" | "disabled" | "masked" | "") {
            node.unit(name, UnitAction::Disable, context.deadline)?;
        }
        Ok(())
    }

    /// The folder of a drop-in is made with its first file and goes with its last one.
    fn make_folder(&self, context: &Context<'_>) -> Result<(), Problem> {
        let (Name::DropIn(_), Some(folder)) = (&self.name, self.path.parent()) else { return Ok(()) };
        let node = context.node;
        let making = format_args!("making {}", folder.display()).to_string();
        if node.stat(folder).doing(&making)?.is_some() {
            return Ok(());
        }
        match node.make_directory(folder, Attributes { mode: 0o755, uid: 0, gid: 0 }) {
            // Another drop-in of the same unit was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            made => made.doing(&making),
        }
    }

    fn remove_empty_folder(&self, context: &Context<'_>) -> Result<(), Problem> {
        let (Name::DropIn(_), Some(folder)) = (&self.name, self.path.parent()) else { return Ok(()) };
        if context.node.list(folder).is_ok_and(|names| names.is_empty()) {
            context.node.remove(folder).doing(format_args!("removing {}", folder.display()))?;
        }
        Ok(())
    }

    /// Asks `systemd-analyze verify`, which wants the file under its own name.
    fn verify(&self, content: ContentRef, context: &Context<'_>) -> Result<(), Problem> {
        let (Name::Unit(name) | Name::Template(name)) = &self.name else { return Ok(()) };
        let node = context.node;
        let folder = PathBuf::from(format!("/run/cm-verify-{name}"));
        let doing = format!("verifying {name}");
        let content = context.contents.fetch(&content.digest, content.size)?;
        // One left behind by a run that was cut.
        if node.stat(&folder).doing(&doing)?.is_some() {
            node.remove_tree(&folder).doing(&doing)?;
        }
        node.make_directory(&folder, Attributes { mode: 0o700, uid: 0, gid: 0 }).doing(&doing)?;
        let file = folder.join(name);
        let written = node.write(&file, &content, Attributes { mode: 0o644, uid: 0, gid: 0 }, None);
        let shown = file.to_string_lossy();
        let finished = written.and_then(|_| {
            let argv = ["systemd-analyze", "--no-pager", "verify", "--", &shown];
            let env = [("SYSTEMD_COLORS".to_owned(), "0".to_owned())].into();
            node.run(&Command { env, ..Command::change(&argv, context.deadline) })
        });
        node.remove_tree(&folder).doing(&doing)?;
        let mut finished = finished.doing("running `systemd-analyze verify`")?;
        if finished.success() {
            return Ok(());
        }
        for text in [&mut finished.output.stdout, &mut finished.output.stderr] {
            *text = text.replace(&*shown, name);
        }
        Err(Problem::new(format!(
            "`systemd-analyze verify` refused the new {name}; the old file is still there"
        ))
        .output(finished.output))
    }
}

impl Resource for Wanted {
    fn touches(&self) -> Touches {
        let touches = Touches::new(Class::File)
            .makes(Thing::Path(self.path.clone()))
            .removes(self.state == State::Absent);
        match &self.name {
            Name::Unit(name) => touches.makes(Thing::Unit(name.clone())),
            Name::Template(_) | Name::DropIn(_) => touches,
        }
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        let mut things = self.touches().makes;
        if let (Name::DropIn(_), Some(folder)) = (&self.name, self.path.parent()) {
            things.push(Thing::Path(folder.to_owned()));
        }
        things
    }

    fn prefetch(&self, wants: &mut Prefetch) {
        wants.units.extend(self.name.unit().map(str::to_owned));
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let seen = self.file.look(context)?;
        if seen != Seen::AsWanted || !self.is_stale(context)? {
            return Ok(seen);
        }
        Ok(Seen::Differs(vec![Change::new(
            "loaded",
            Some("an older version".into()),
            Some("this version".into()),
        )]))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let differs = self.file.look(context)? != Seen::AsWanted;
        let mut effect = Effect::default();
        if differs {
            match self.state {
                State::Present => {
                    if let Some(content) = self.verified.filter(|_| !context.planning()) {
                        self.verify(content, context)?;
                    }
                    self.make_folder(context)?;
                    effect = self.file.change(context)?;
                }
                State::Absent => {
                    self.retire(context)?;
                    effect = self.file.change(context)?;
                    self.remove_empty_folder(context)?;
                }
            }
        }
        context.node.reload_units(context.deadline)?;
        // systemd itself is the judge of what was written.
        if let (State::Present, Name::Unit(name)) = (self.state, &self.name)
            && let Some(unit) = self.read(context)?
            && matches!(unit.load.as_str(), "error" | "bad-setting")
        {
            return Err(Problem::new(format!(
                "systemd does not accept the unit file {}",
                self.path.display()
            ))
            .hint(format!("`systemd-analyze verify {name}` on the node says why")));
        }
        Ok(effect)
    }
}

#[cfg(test)]
mod tests;
