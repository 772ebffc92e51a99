//! `reboot`: the host restarts when something asks for it, and the run goes on when it is back.

use std::path::Path;

use cm_wire::Change;

use crate::{
    AbsolutePath, Class, Context, Doing, Effect, Module, ParamError, Params, Problem, Resource, Seen, Thing,
    Touches, choice, params,
};

/// What Debian's package scripts leave behind when a restart is needed.
const REQUIRED: &str = "/run/reboot-required";

choice! {
    /// What asks for a restart, beside tasks that name this one in `restarts`.
    pub enum Policy {
        /// A file that says so.
        Required = "required",
        /// Any change of a task it comes after.
        Changed = "changed",
        /// Nothing else.
        Asked = "asked",
    }
}

params! {
    /// Restarts the host where something asks for it: a task that changed and names this one in
    /// `restarts` (remembered by the node until it is done, whatever cuts the run), or what `policy` says.
    /// The run waits for the host to be back, for as long as the task's `timeout` (600 s), proves by a new
    /// boot id that it was restarted, and goes on with the graph. It is ordered with everything written
    /// before and after it in its role, and nothing else runs on the host meanwhile.
    pub struct Reboot = "reboot" {
        /// A name for it, such as the reason: `new kernel`.
        subject name: String,
        /// `required`: where `marker` is there. `changed`: where a task it comes after has changed
        /// something in this run. `asked`: only where a task names it in `restarts`.
        policy: Policy = Policy::Required,
        /// The file that asks for a restart; it must go with it, as everything under /run does.
        marker: AbsolutePath = AbsolutePath(REQUIRED.into()),
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Reboot::SCHEMA, compile };

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    Ok(Box::new(Reboot::from_params(params)?))
}

impl Reboot {
    fn reason(&self, context: &Context<'_>) -> Result<Option<String>, Problem> {
        if let Some((_, because)) = context.notices.first() {
            return Ok(Some(because.clone()));
        }
        let marker: &Path = &self.marker.0;
        let asked = match self.policy {
            Policy::Required => {
                context.node.stat(marker).doing(format_args!("looking at {}", marker.display()))?.is_some()
            }
            Policy::Changed => context.disturbed && !context.at_start,
            Policy::Asked => false,
        };
        Ok(asked.then(|| match self.policy {
            Policy::Required => marker.display().to_string(),
            _ => "changes before it".to_owned(),
        }))
    }
}

impl Resource for Reboot {
    fn touches(&self) -> Touches {
        Touches::new(Class::Opaque).makes(Thing::Other(format!("reboot:{}", self.name)))
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        match self.reason(context)? {
            Some(reason) => Ok(Seen::Differs(vec![Change::new("restart", None, Some(reason))])),
            None if context.at_start && self.policy == Policy::Changed => Ok(Seen::Later),
            // What would be installed before it may ask for a restart: nobody knows before.
            None if context.planning() && self.policy == Policy::Required && context.node.may_appear() => {
                Ok(Seen::Unknown)
            }
            None => Ok(Seen::AsWanted),
        }
    }

    fn change(&self, _context: &Context<'_>) -> Result<Effect, Problem> {
        Ok(Effect { restarts_host: true, final_: true, ..Effect::default() })
    }

    fn alone(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use cm_wire::{Mode, Notice};

    use super::*;
    use crate::{
        Empty, Node, Overlay,
        bench::context,
        node::{Attributes, Content, Files},
    };

    fn reboot(policy: &str) -> Box<dyn Resource> {
        let params = [("name".to_owned(), "new kernel".into()), ("policy".to_owned(), policy.into())].into();
        compile(&params).unwrap()
    }

    fn differs(seen: &Seen) -> bool {
        matches!(seen, Seen::Differs(_))
    }

    #[test]
    fn a_marker_a_change_or_a_task_asks_for_it() {
        let node = Overlay::new(&Empty);
        let quiet = context(&node, Mode::Apply);
        for policy in ["required", "changed", "asked"] {
            assert_eq!(reboot(policy).look(&quiet).unwrap(), Seen::AsWanted, "{policy}");
            let owed = [(Notice::Restart, "file:/etc/default/grub".to_owned())];
            let asked = Context { notices: &owed, ..context(&node, Mode::Apply) };
            assert!(differs(&reboot(policy).look(&asked).unwrap()), "{policy}");
        }
        let disturbed = Context { disturbed: true, ..context(&node, Mode::Apply) };
        assert!(differs(&reboot("changed").look(&disturbed).unwrap()));
        assert!(!differs(&reboot("required").look(&disturbed).unwrap()));
        let attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
        node.make_directory(Path::new("/run"), attributes).unwrap();
        node.write(Path::new(REQUIRED), &Content::Bytes(Vec::new()), attributes, None).unwrap().unwrap();
        assert!(differs(&reboot("required").look(&quiet).unwrap()));
        assert!(!differs(&reboot("asked").look(&quiet).unwrap()));
    }

    #[test]
    fn a_plan_cannot_know_what_an_installation_will_ask_for() {
        let node = Overlay::new(&Empty);
        node.things_may_appear();
        let planning = context(&node, Mode::Plan);
        assert_eq!(reboot("required").look(&planning).unwrap(), Seen::Unknown);
        assert_eq!(reboot("asked").look(&planning).unwrap(), Seen::AsWanted);
    }
}
