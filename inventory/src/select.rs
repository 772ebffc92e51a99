//! From a target to hosts. The language is in [`crate::target`].

use cm_syntax::{Diagnostic, Diagnostics, FileId, Sources, Span, nearest};

use crate::host_set::HostSet;
use crate::range::Pattern;
use crate::target::{Atom, Sign, Slice, Target, Term, glob_fits};
use crate::{HostId, Inventory};

/// Unknown hosts of one range that a message names.
const NAMED: usize = 5;

/// Which hosts a command is for.
#[derive(Copy, Clone, Debug, Default)]
pub struct Request<'a> {
    /// The target as typed.
    pub target: &'a str,
    /// `--limit` as typed: hosts outside of it are left out.
    pub limit: Option<&'a str>,
    /// The names behind `@failed`: hosts that failed in the last run. None when there was no run. Names that are no
    /// longer in the inventory are passed over.
    pub failed: Option<&'a [String]>,
}

impl Inventory {
    /// Finds the hosts of a target, in inventory order, each once.
    ///
    /// The list is empty only where `@failed` is asked for and nothing failed.
    ///
    /// # Errors
    /// All unknown names and unreadable terms of target and limit, and a target that leaves no host at all. The texts
    /// are added to `sources`, so that the errors can underline them.
    pub fn select(&self, sources: &Sources, request: Request<'_>) -> Result<Vec<HostId>, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        let texts = [("target", Some(request.target)), ("--limit", request.limit)];
        let mut found: Option<HostSet> = None;
        let mut asks_failed = false;
        let mut files = Vec::new();
        for (name, text) in texts {
            let Some(text) = text else { continue };
            let file = sources.add(name, text.to_owned());
            files.push((file, text));
            let mut reader =
                Reader { inventory: self, failed: request.failed, file, diagnostics: &mut diagnostics };
            let Some((hosts, failed)) = reader.read(text) else { continue };
            asks_failed |= failed;
            match &mut found {
                Some(found) => found.keep(&hosts),
                None => found = Some(hosts),
            }
        }
        if diagnostics.has_errors() {
            return Err(diagnostics);
        }
        let hosts: Vec<HostId> = found.unwrap_or_default().iter().collect();
        if hosts.is_empty() && !asks_failed {
            // Both texts are there: the target is not optional.
            let whole = |(file, text): &(FileId, &str)| Span::new(*file, 0, text.len() as u32);
            let mut diagnostic = Diagnostic::error("no host is left to work on");
            diagnostic = match files.as_slice() {
                [target, limit] => diagnostic
                    .at(whole(target), "")
                    .also(whole(limit), "no host of the target is among these"),
                [target] if self.hosts.is_empty() => {
                    diagnostic.at(whole(target), "the inventory holds no hosts")
                }
                [target] => diagnostic.at(whole(target), "stands for no host"),
                _ => diagnostic,
            };
            return Err(diagnostic.into());
        }
        Ok(hosts)
    }
}

struct Reader<'r, 'i> {
    inventory: &'i Inventory,
    failed: Option<&'r [String]>,
    file: FileId,
    diagnostics: &'r mut Diagnostics,
}

impl Reader<'_, '_> {
    /// The hosts, and whether `@failed` is among the terms. None where something is wrong.
    fn read(&mut self, text: &str) -> Option<(HostSet, bool)> {
        let before = self.diagnostics.len();
        let (target, wrong) = Target::parse(text);
        for unreadable in wrong {
            let span = Span::new(self.file, unreadable.place.start as u32, unreadable.place.end as u32);
            self.diagnostics.push(
                Diagnostic::error("this target cannot be read").at(span, unreadable.reason).hint(
                    "examples: `web`, `web,db`, `web:!web03`, `web:&rack_a`, `web[0:3]`, `all`, `@failed`",
                ),
            );
        }
        let found: Vec<(Sign, HostSet)> =
            target.terms.iter().map(|term| (term.sign, self.term(term))).collect();
        let mut hosts = HostSet::default();
        let mut joined = false;
        for (_, set) in found.iter().filter(|(sign, _)| *sign == Sign::Join) {
            hosts.add(set);
            joined = true;
        }
        if !joined {
            hosts = HostSet::all(self.inventory.hosts.len());
        }
        for (_, set) in found.iter().filter(|(sign, _)| *sign == Sign::Keep) {
            hosts.keep(set);
        }
        for (_, set) in found.iter().filter(|(sign, _)| *sign == Sign::Remove) {
            hosts.remove(set);
        }
        let failed = target.terms.iter().any(|term| term.atom == Atom::Failed);
        (self.diagnostics.len() == before).then_some((hosts, failed))
    }

    fn term(&mut self, term: &Term<'_>) -> HostSet {
        // Lossless: a command line is far below 4 GiB.
        let sign = u32::from(term.sign != Sign::Join);
        let span = Span::new(self.file, term.place.start as u32 + sign, term.place.end as u32);
        match &term.atom {
            Atom::Failed => match self.failed {
                Some(names) => names.iter().filter_map(|name| self.inventory.host_id(name)).collect(),
                None => {
                    self.diagnostics.push(
                        Diagnostic::error("there is no last run for `@failed` to look at")
                            .at(span, "")
                            .hint("`cm history` lists the runs that are remembered"),
                    );
                    HostSet::default()
                }
            },
            Atom::Name(name) => self.name(name, span),
            Atom::Glob(glob) => self.glob(glob, span),
            Atom::Bracket { text, slice } => self.bracket(text, slice.as_ref(), span),
        }
    }

    fn name(&mut self, name: &str, span: Span) -> HostSet {
        let inventory = self.inventory;
        if let Some(group) = inventory.group_id(name) {
            return inventory.group(group).hosts.clone();
        }
        if let Some(host) = inventory.host_id(name) {
            return HostSet::from_iter([host]);
        }
        let names = inventory.groups.iter().map(|group| group.name.as_str());
        let names = names.chain(inventory.hosts.iter().map(|host| host.name.as_str()));
        let diagnostic = Diagnostic::error(format!("no host or group is called `{name}`"))
            .at(span, "not in the inventory")
            .did_you_mean(nearest(name, names));
        self.diagnostics.push(match name.contains(char::is_whitespace) {
            true => diagnostic.hint("names are parted by `,`"),
            false => diagnostic,
        });
        HostSet::default()
    }

    fn glob(&mut self, glob: &str, span: Span) -> HostSet {
        let inventory = self.inventory;
        let hosts = inventory.hosts().filter(|(_, host)| glob_fits(glob, &host.name)).map(|(id, _)| id);
        let mut found: HostSet = hosts.collect();
        let mut any = !found.is_empty();
        for group in inventory.groups.iter().filter(|group| glob_fits(glob, &group.name)) {
            found.add(&group.hosts);
            any = true;
        }
        if !any {
            let message = format!("no host or group fits `{glob}`");
            self.diagnostics.push(Diagnostic::error(message).at(span, "not in the inventory"));
        }
        found
    }

    /// A slice of a group or a range of names; see [`crate::target`] for which.
    fn bracket(&mut self, text: &str, slice: Option<&Slice<'_>>, span: Span) -> HostSet {
        let group = slice.and_then(|slice| self.inventory.group_id(slice.base));
        match (slice, group) {
            (Some(slice), _) if slice.base.contains(['*', '?']) => {
                let hosts = self.glob(slice.base, span);
                self.slice(slice, &hosts, span)
            }
            (Some(slice), Some(group)) if !slice.padded => {
                self.slice(slice, &self.inventory.group(group).hosts, span)
            }
            (Some(slice), Some(group)) if !self.names_a_host(text) => {
                self.slice(slice, &self.inventory.group(group).hosts, span)
            }
            _ => self.range(text, slice, span),
        }
    }

    fn names_a_host(&self, range: &str) -> bool {
        match Pattern::parse(range) {
            Ok(Some(pattern)) => pattern.names().any(|name| self.inventory.host_id(&name).is_some()),
            _ => false,
        }
    }

    fn slice(&mut self, slice: &Slice<'_>, hosts: &HostSet, span: Span) -> HostSet {
        let hosts: Vec<HostId> = hosts.iter().collect();
        match slice.positions(hosts.len()) {
            Some(positions) => hosts[positions].iter().copied().collect(),
            None => {
                let message = format!("`{}` has no position {}", slice.base, slice.first);
                self.diagnostics.push(
                    Diagnostic::error(message)
                        .at(span, format!("it holds {} hosts, counted from 0", hosts.len())),
                );
                HostSet::default()
            }
        }
    }

    fn range(&mut self, text: &str, slice: Option<&Slice<'_>>, span: Span) -> HostSet {
        let pattern = match Pattern::parse(text) {
            Ok(Some(pattern)) => pattern,
            // Neither a range nor a slice of anything known.
            _ if slice.is_some() => return self.name(slice.map_or(text, |slice| slice.base), span),
            Ok(None) => return self.name(text, span),
            Err(error) => {
                self.diagnostics.push(
                    Diagnostic::error("this target cannot be read").at(span, error.to_string()).hint(
                        "`web[01:03]` are hosts by name, `web[0:2]` the first three hosts of group `web`",
                    ),
                );
                return HostSet::default();
            }
        };
        let mut found = HostSet::default();
        let mut unknown = Vec::new();
        for name in pattern.names() {
            match self.inventory.host_id(&name) {
                Some(host) => found.insert(host),
                None => unknown.push(name),
            }
        }
        if let Some(first) = unknown.first() {
            let near = self.inventory.nearest_host(first);
            // Not one of them is there: the name of a group may be what was mistyped.
            let near_group = slice.filter(|_| found.is_empty());
            let near_group = near_group.and_then(|slice| self.inventory.nearest_group(slice.base));
            let mut names: Vec<String> = unknown.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
            if unknown.len() > NAMED {
                names.push(format!("{} more", unknown.len() - NAMED));
            }
            self.diagnostics.push(
                Diagnostic::error(format!("no host is called {}", names.join(", ")))
                    .at(span, "not all of these are in the inventory")
                    .did_you_mean(near_group.or(near)),
            );
        }
        found
    }
}

#[cfg(test)]
mod tests;
