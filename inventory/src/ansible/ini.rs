//! Ansible's INI inventories, by the rules of ansible-core's `plugins/inventory/ini.py`.

use std::collections::BTreeMap;
use std::ops::Range;

use cm_syntax::{Diagnostic, Diagnostics, FileId, Sources, Span, nearest};

use super::world::{Set, World};
use super::{pattern, python, words};

/// What the lines of a section are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Section {
    Hosts,
    Children,
    Vars,
}

/// A group that was named before it was declared.
struct Pending {
    span: Span,
    /// The groups it is to be part of; empty where only its variables were given.
    parents: Vec<usize>,
    /// Named by `[group:vars]` alone.
    vars: bool,
}

struct Reader<'r> {
    file: FileId,
    world: &'r mut World,
    diagnostics: &'r mut Diagnostics,
    pending: BTreeMap<String, Pending>,
    /// Names in the order they were waited for, so that errors come in that order.
    declared: Vec<String>,
}

/// Reads a file into the world.
pub(crate) fn read(sources: &Sources, file: FileId, world: &mut World, diagnostics: &mut Diagnostics) {
    let text = sources.text(file);
    let mut reader = Reader { file, world, diagnostics, pending: BTreeMap::new(), declared: Vec::new() };
    let (mut group, mut section) = (1, Some(Section::Hosts));
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        let at = start + (line.len() - line.trim_start().len());
        start += line.len();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some((name, kind)) = header(trimmed) {
            section = reader.section(&trimmed[kind.clone()], at + kind.start, at + kind.end);
            group = reader.open(&trimmed[name.clone()], section, at + name.start, at + name.end);
        } else if trimmed.starts_with('[') && trimmed.ends_with(']') {
            let place = reader.span(at..at + trimmed.len());
            reader.diagnostics.push(
                Diagnostic::error("this section cannot be read").at(place, "").hint(
                    "sections are [GROUP], [GROUP:children] or [GROUP:vars], without white space in them",
                ),
            );
            section = None;
        } else {
            match section {
                Some(Section::Hosts) => reader.hosts(group, trimmed, at),
                Some(Section::Children) => reader.child(group, trimmed, at),
                Some(Section::Vars) => reader.variable(group, trimmed, at),
                // What an unreadable section holds says nothing.
                None => {}
            }
        }
    }
    reader.finish();
}

/// `[group]` and `[group:kind]`, with a comment behind: the ranges of both words; that of a missing kind is empty.
fn header(line: &str) -> Option<(Range<usize>, Range<usize>)> {
    let inside = line.strip_prefix('[')?;
    let close = inside.find(']')? + 1;
    let behind = line[close + 1..].trim_start();
    if !(behind.is_empty() || behind.starts_with('#')) {
        return None;
    }
    let name_end = line.find(':').filter(|colon| *colon < close).unwrap_or(close);
    let kind = if name_end < close { name_end + 1..close } else { close..close };
    let word = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
    let good_name = name_end > 1 && !line[1..name_end].contains(char::is_whitespace);
    let good_kind = name_end == close || (!kind.is_empty() && word(&line[kind.clone()]));
    (good_name && good_kind).then_some((1..name_end, kind))
}

impl Reader<'_> {
    fn span(&self, range: Range<usize>) -> Span {
        // Lossless: files are below 4 GiB.
        Span::new(self.file, range.start as u32, range.end as u32)
    }

    fn section(&mut self, kind: &str, start: usize, end: usize) -> Option<Section> {
        match kind {
            "" | "hosts" => Some(Section::Hosts),
            "children" => Some(Section::Children),
            "vars" => Some(Section::Vars),
            other => {
                let place = self.span(start..end);
                self.diagnostics.push(
                    Diagnostic::error(format!("a section has no kind `{other}`"))
                        .at(place, "neither `hosts`, `children` nor `vars`")
                        .did_you_mean(nearest(other, ["hosts", "children", "vars"])),
                );
                None
            }
        }
    }

    /// Begins a section of a group.
    fn open(&mut self, name: &str, section: Option<Section>, start: usize, end: usize) -> usize {
        let span = self.span(start..end);
        let vars = section == Some(Section::Vars);
        if !self.world.group_names.contains_key(name) && vars && !self.pending.contains_key(name) {
            self.wait(name, Pending { span, parents: Vec::new(), vars: true });
        }
        let group = self.world.group(name, span);
        if !vars && let Some(pending) = self.pending.remove(name) {
            for parent in pending.parents {
                self.world.child(parent, group, pending.span, self.diagnostics);
            }
        }
        group
    }

    fn wait(&mut self, name: &str, pending: Pending) {
        self.declared.push(name.to_owned());
        self.pending.insert(name.to_owned(), pending);
    }

    fn hosts(&mut self, group: usize, line: &str, at: usize) {
        let words = match words::split(line) {
            Ok(words) => words,
            Err(error) => {
                let place = self.span(at..at + line.len());
                self.diagnostics
                    .push(Diagnostic::error("this line cannot be read").at(place, error.to_string()));
                return;
            }
        };
        let Some((name, rest)) = words.split_first() else { return };
        let place = self.span(at + name.range.start..at + name.range.end);
        let hosts = match pattern::expand(&name.text) {
            Ok(hosts) => hosts,
            Err(error) => {
                self.diagnostics.push(
                    Diagnostic::error(format!("`{}` cannot be the name of a host", name.text))
                        .at(place, error.to_string()),
                );
                return;
            }
        };
        let mut variables = Vec::new();
        for word in rest {
            let place = self.span(at + word.range.start..at + word.range.end);
            match word.text.split_once('=') {
                Some((key, value)) => {
                    let key_end = place.start + (key.len() as u32).min(place.end - place.start);
                    let span = Span::new(self.file, place.start, key_end);
                    variables.push((key, Set { span, node: python::value(value, place) }));
                }
                None => self.diagnostics.push(
                    Diagnostic::error(format!("`{}` is not KEY=VALUE", word.text))
                        .at(place, "after the name of a host come its variables")
                        .hint("a value with spaces needs quotes; each host stands on a line of its own"),
                ),
            }
        }
        for name in &hosts.names {
            let port = hosts.port.map(|port| (port, place));
            let Some(host) = self.world.host_at(name, port, place, Some(group), self.diagnostics) else {
                return;
            };
            for (key, set) in &variables {
                self.world.set_for_host(host, key, set.clone(), self.diagnostics);
            }
        }
    }

    fn child(&mut self, group: usize, line: &str, at: usize) {
        let end = line.find(|c: char| c.is_whitespace()).unwrap_or(line.len());
        let (name, behind) = (&line[..end], line[end..].trim_start());
        let place = self.span(at..at + end);
        if name.contains([':', ']']) || !(behind.is_empty() || behind.starts_with('#')) {
            let place = self.span(at..at + line.len());
            self.diagnostics.push(
                Diagnostic::error("this is not the name of a group")
                    .at(place, "a `:children` section names one group a line"),
            );
            return;
        }
        match self.world.group_names.get(name) {
            Some(&child) => self.world.child(group, child, place, self.diagnostics),
            None => match self.pending.get_mut(name) {
                Some(pending) => pending.parents.push(group),
                None => self.wait(name, Pending { span: place, parents: vec![group], vars: false }),
            },
        }
    }

    fn variable(&mut self, group: usize, line: &str, at: usize) {
        let Some((key, value)) = line.split_once('=') else {
            let place = self.span(at..at + line.len());
            self.diagnostics.push(
                Diagnostic::error("this is not KEY=VALUE")
                    .at(place, "a `:vars` section holds one variable a line"),
            );
            return;
        };
        let value_at = at + key.len() + 1 + (value.len() - value.trim_start().len());
        let (key, value) = (key.trim(), value.trim());
        let span = self.span(at..at + key.len());
        let node = python::value(value, self.span(value_at..value_at + value.len()));
        self.world.set_for_group(group, key, Set { span, node }, self.diagnostics);
    }

    /// Tells of groups that were named and never declared.
    fn finish(self) {
        for name in &self.declared {
            let Some(pending) = self.pending.get(name) else { continue };
            let known = self.world.group_names.keys().map(String::as_str).filter(|known| known != name);
            let near = nearest(name, known);
            let (message, hint) = if pending.vars && pending.parents.is_empty() {
                (format!("`[{name}:vars]` is about a group that is not there"), "[{}]")
            } else {
                (format!("unknown group `{name}`"), "[{}]")
            };
            self.diagnostics.push(
                Diagnostic::error(message)
                    .at(pending.span, "no section of this name")
                    .did_you_mean(near)
                    .hint(format!("an empty section declares a group: {}", hint.replace("{}", name))),
            );
        }
    }
}
