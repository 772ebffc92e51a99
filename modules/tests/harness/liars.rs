//! The harness itself is tried: modules that break one promise each, and the check that must find it.

use std::path::{Path, PathBuf};

use cm_modules::{
    Class, Context, Doing as _, Effect, Params, Problem, Resource, Seen, Thing, Touches,
    node::{Attributes, Content},
};
use cm_wire::{Change, Value};

use crate::{
    case::{Case, Where, at, file, holds, remove},
    faults::survives_all,
    promises::{ODD_NAME, converges, hides_secrets, mends},
    undo::{is_undone, keeps_all},
};

const WANTED: &[u8] = b"wanted\n";

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    /// None.
    Honest,
    /// Whatever the file holds, it is said to be as wanted.
    Blind,
    /// The file is written in two steps.
    Halves,
    /// A look writes.
    Hasty,
    /// A plan predicts something else.
    TwoFaced,
    /// There is always something to do.
    Restless,
    /// The path ends with the first line of it.
    OneLine,
    /// The journal is told of nothing.
    Forgetful,
    /// Secrets are told.
    Talkative,
    /// A failure is hidden.
    Careless,
}

const LIES: [Lie; 9] = [
    Lie::Blind,
    Lie::Halves,
    Lie::Hasty,
    Lie::TwoFaced,
    Lie::Restless,
    Lie::OneLine,
    Lie::Forgetful,
    Lie::Talkative,
    Lie::Careless,
];

/// A module of these, by the name `liar.LIE`.
pub fn compile(module: &str, params: &Params) -> Option<Box<dyn Resource>> {
    let name = module.strip_prefix("liar.")?;
    let lie = LIES.into_iter().chain([Lie::Honest]).find(|lie| format!("{lie:?}") == name)?;
    let path = params.get("path").and_then(Value::as_text)?.into();
    Some(Box::new(Liar { lie, path }))
}

struct Liar {
    lie: Lie,
    path: PathBuf,
}

impl Liar {
    fn write(&self, context: &Context<'_>, content: &[u8]) -> Result<(), Problem> {
        let text = self.path.to_string_lossy();
        let path = match self.lie {
            Lie::OneLine => Path::new(text.lines().next().unwrap_or_default()),
            _ => &self.path,
        };
        let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
        let written = context.node.write(path, &Content::Bytes(content.to_vec()), attributes, None);
        match self.lie {
            Lie::Careless => Ok(()),
            _ => written.doing("writing")?,
        }
    }
}

impl Resource for Liar {
    fn touches(&self) -> Touches {
        Touches::new(Class::File).makes(Thing::Path(self.path.clone()))
    }

    fn keeps(&self, _context: &Context<'_>) -> Vec<Thing> {
        if self.lie == Lie::Forgetful { Vec::new() } else { self.touches().makes }
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        let now = match context.node.stat(&self.path).doing("looking")? {
            Some(_) => Some(context.node.read(&self.path, 1024).doing("reading")?),
            None => None,
        };
        let same = match self.lie {
            Lie::Blind => now.is_some(),
            Lie::Restless => false,
            _ => now.as_deref() == Some(WANTED),
        };
        if !same && self.lie == Lie::Hasty {
            self.write(context, WANTED)?;
        }
        let told = context.sensitive && self.lie != Lie::Talkative;
        let change = Change::new("content", None, Some("wanted".into()));
        let change = if told { change } else { change.with_diff(Some("+wanted\n".into())) };
        Ok(Seen::from_changes(if same { Vec::new() } else { vec![change] }))
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        match self.lie {
            Lie::Halves => {
                self.write(context, &WANTED[..3])?;
                self.write(context, WANTED)?;
            }
            Lie::TwoFaced if context.planning() => {
                self.write(context, WANTED)?;
                context.node.set_mode(&self.path, 0o600).doing("changing the mode")?;
            }
            _ => self.write(context, WANTED)?,
        }
        Ok(Effect::default())
    }
}

/// Everything that the checks of the harness say of a module.
fn findings(lie: Lie) -> String {
    let module = format!("liar.{lie:?}");
    let case = Case::new("case", [("path", at("file"))])
        .before([file("other", "stays", 0o644)])
        .ends([holds("file", WANTED)])
        .drift(["content"], "content", [file("file", "damaged", 0o644)])
        .drift(["content"], "content", [remove("file")]);
    let (case, place, module) = (&case, Where::Fake, &*module);
    let mut found = converges(module, case, place, "case");
    found.extend(converges(module, case, place, ODD_NAME));
    found.extend(mends(module, case, place));
    found.extend(hides_secrets(module, case, place));
    found.extend(survives_all(module, case, place));
    found.extend(is_undone(module, case, place));
    found.extend(keeps_all(module, case, place));
    found.join("\n")
}

#[test]
fn an_honest_module_breaks_nothing_and_each_lie_is_found() {
    assert_eq!(findings(Lie::Honest), "");
    let telling = [
        (Lie::Blind, "no change of `content`"),
        (Lie::Halves, "is half written"),
        (Lie::Hasty, "a look changes the node"),
        (Lie::TwoFaced, "what the plan predicted differs"),
        (Lie::Restless, "does not converge"),
        (Lie::OneLine, "does not converge"),
        (Lie::Forgetful, "does not keep it"),
        (Lie::Talkative, "a sensitive task tells"),
        (Lie::Careless, "the run says that it went well"),
    ];
    for (lie, text) in telling {
        let found = findings(lie);
        assert!(found.contains(text), "{lie:?}: {found}");
    }
    assert!(findings(Lie::Forgetful).contains("the undo leaves"));
}
