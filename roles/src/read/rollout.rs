//! Reads `rollout:` of a role.

use std::{str::FromStr, time::Duration};

use cm_modules::{Kind, parse_duration};
use cm_rollout::{OnFailure, Promote, Size};
use cm_syntax::{Diagnostic, Diagnostics, MapReader, Node, Spanned, Yaml, nearest};

use super::RoleReader;
use crate::{
    argument::Argument,
    rollout::{Gate, GateKind, OrderSection, RolloutHook, RolloutSection, SpreadSection, judge},
    template::Expression,
};

/// What a command or query may take where nobody says.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The pieces of the section that hold templates, read by the role's reader once the map is done.
#[derive(Default)]
struct Written<'n> {
    spread: Option<&'n Node>,
    order: Option<&'n Node>,
    gates: &'n [Node],
    hooks: &'n [Node],
}

impl RoleReader<'_> {
    pub(super) fn rollout(&mut self, node: &Node) -> RolloutSection {
        let mut reader = MapReader::new(node, format!("`rollout` of role `{}`", self.name), self.diagnostics);
        let mut section = RolloutSection {
            batch: batch(&mut reader),
            max_unavailable: size(&mut reader, "max_unavailable"),
            window: reader.bool("window"),
            promote: word(&mut reader, "promote", &[("auto", Promote::Auto), ("manual", Promote::Manual)]),
            min_healthy_time: time(&mut reader, "min_healthy_time"),
            healthy_deadline: time(&mut reader, "healthy_deadline"),
            progress_deadline: time(&mut reader, "progress_deadline"),
            gate_interval: time(&mut reader, "gate_interval"),
            max_failures: size(&mut reader, "max_failures"),
            on_failure: word(
                &mut reader,
                "on_failure",
                &[
                    ("pause", OnFailure::Pause),
                    ("abort", OnFailure::Abort),
                    ("rollback", OnFailure::RollBack),
                ],
            ),
            ..RolloutSection::default()
        };
        let written = Written {
            spread: reader.node("spread"),
            order: reader.node("order"),
            gates: reader.list("gates").unwrap_or_default(),
            hooks: reader.list("hooks").unwrap_or_default(),
        };
        reader.finish();
        section.spread = written.spread.and_then(|node| self.spread(node));
        section.order = written.order.and_then(|node| self.order(node));
        section.gates = written.gates.iter().filter_map(|node| self.gate(node)).collect();
        section.hooks = written.hooks.iter().filter_map(|node| self.hook(node)).collect();
        section
    }

    fn lone_expression(&mut self, node: &Node, what: &str) -> Option<Expression> {
        if node.as_text().is_none() {
            let message = format!("{what} wants an expression, not {}", node.described());
            self.diagnostics.push(Diagnostic::error(message).at(node.span, ""));
            return None;
        }
        let (expression, uses) = Expression::parse(node, self.scope(), self.sources, self.diagnostics);
        self.uses.extend(&uses);
        expression
    }

    fn spread(&mut self, node: &Node) -> Option<Spanned<SpreadSection>> {
        let by = match &node.value {
            // `spread: host.vars.rack`: never two of them at once.
            Yaml::Text(_) => {
                let by = self.lone_expression(node, "`spread`")?;
                return Some(Spanned::new(
                    SpreadSection { by, max_domains: Some(1), per_domain: None },
                    node.span,
                ));
            }
            _ => {
                let mut reader = MapReader::new(node, "`spread`", self.diagnostics);
                let by = reader.required_node("by");
                let max = reader.int_between("max", 1, 100_000);
                let per = reader.int_between("per_domain", 1, 100_000);
                reader.finish();
                (by, max, per)
            }
        };
        let (by, max, per) = by;
        // Both are bounded by the reader.
        let count = |int: Option<Spanned<i64>>| int.map(|int| int.value as usize);
        let (max, per_domain) = (count(max), count(per));
        let by = self.lone_expression(by?, "`by` of `spread`")?;
        let max_domains = if max.is_none() && per_domain.is_none() { Some(1) } else { max };
        Some(Spanned::new(SpreadSection { by, max_domains, per_domain }, node.span))
    }

    fn order(&mut self, node: &Node) -> Option<Spanned<OrderSection>> {
        let order = match node.as_text() {
            Some("given") => OrderSection::Given,
            Some("random") => OrderSection::Random,
            _ => OrderSection::By(self.lone_expression(node, "`order` (given, random or an expression)")?),
        };
        Some(Spanned::new(order, node.span))
    }

    fn gate(&mut self, node: &Node) -> Option<Gate> {
        let what = "a gate of `rollout`";
        let mut reader = MapReader::new(node, what, self.diagnostics);
        let command = reader.node("command");
        let http = reader.node("http");
        let prometheus = reader.node("prometheus");
        let status = reader.int_between("status", 100, 599);
        let contains = reader.node("contains");
        let query = reader.node("query");
        let pass = reader.text("pass").map(|text| text.map(str::to_owned));
        let fail = reader.text("fail").map(|text| text.map(str::to_owned));
        let per_batch = word(&mut reader, "per", &[("node", false), ("batch", true)]);
        let timeout = time(&mut reader, "timeout").map_or(TIMEOUT, |timeout| timeout.value);
        reader.finish();
        let mut wrong = |message: &str, hint: &str| {
            self.diagnostics
                .push(Diagnostic::error(format!("{what} {message}")).at(node.span, "").hint(hint));
        };
        if [command, http, prometheus].iter().flatten().count() != 1 {
            wrong("is one of command, http and prometheus", "- http: \"http://{{ host.address }}/health\"");
            return None;
        }
        let foreign = (command.is_some() && (status.is_some() || contains.is_some()))
            || (prometheus.is_none() && (query.is_some() || pass.is_some() || fail.is_some()))
            || (prometheus.is_some() && (status.is_some() || contains.is_some()));
        if foreign {
            wrong(
                "has a key of another kind of gate",
                "`status` and `contains` go with http; `query`, `pass` and `fail` with prometheus",
            );
            return None;
        }
        if prometheus.is_some() && (query.is_none() || pass.is_none()) {
            wrong("of prometheus needs `query` and `pass`", "pass: \"value < 0.01\"");
            return None;
        }
        for expression in pass.iter().chain(&fail) {
            // Whether it is an expression, not what it gives.
            if let Err(error) = judge(&expression.value, 0.0) {
                let message = format!("{what}: `{}` does not judge a value", expression.value);
                self.diagnostics.push(
                    Diagnostic::error(message).at(expression.span, "").caused_by(error).hint("value < 0.01"),
                );
            }
        }
        let mut text = |node: Option<&Node>, name: &str| {
            node.map(|node| self.argument(node, Some((&Kind::Text, &format!("`{name}` of {what}")))))
        };
        let kind = match (text(command, "command"), text(http, "http"), text(prometheus, "prometheus")) {
            (Some(command), _, _) => GateKind::Command(command),
            (_, Some(url), _) => {
                let contains = text(contains, "contains");
                // Bounded by the reader.
                GateKind::Http { url, status: status.map_or(200, |status| status.value as u16), contains }
            }
            (_, _, Some(url)) => GateKind::Prometheus {
                url,
                query: text(query, "query")?,
                pass: pass?.value,
                fail: fail.map(|fail| fail.value),
            },
            _ => return None,
        };
        Some(Gate { span: node.span, per_batch: per_batch.is_some_and(|per| per.value), timeout, kind })
    }

    fn hook(&mut self, node: &Node) -> Option<RolloutHook> {
        let what = "a hook of `rollout`";
        let mut reader = MapReader::new(node, what, self.diagnostics);
        let mut texts = [None; 6];
        let keys = ["on", "already", "before_node", "after_node", "before_batch", "after_batch"];
        for (text, key) in texts.iter_mut().zip(keys) {
            *text = reader.node(key);
        }
        let timeout = time(&mut reader, "timeout").map_or(TIMEOUT, |timeout| timeout.value);
        reader.finish();
        let mut argument = |at: usize| -> Option<Argument> {
            let what = format!("`{}` of {what}", keys[at]);
            texts[at].map(|node| self.argument(node, Some((&Kind::Text, &what))))
        };
        let hook = RolloutHook {
            span: node.span,
            on: argument(0),
            timeout,
            already: argument(1),
            before_node: argument(2),
            after_node: argument(3),
            before_batch: argument(4),
            after_batch: argument(5),
        };
        let acts = texts[2..].iter().any(Option::is_some);
        if !acts {
            let message = format!("{what} does nothing");
            self.diagnostics.push(
                Diagnostic::error(message)
                    .at(node.span, "")
                    .hint("before_node, after_node, before_batch or after_batch"),
            );
            return None;
        }
        if hook.already.is_some() && hook.before_node.is_none() && hook.after_node.is_none() {
            let message = format!("{what} asks `already`, and has nothing round a node");
            self.diagnostics.push(Diagnostic::error(message).at(node.span, ""));
        }
        Some(hook)
    }
}

fn size_of(node: &Node, what: &str, diagnostics: &mut Diagnostics) -> Option<Size> {
    let text = match (&node.value, node.as_int()) {
        (Yaml::Text(text), _) => text.clone(),
        (_, Some(number)) => number.to_string(),
        _ => node.described(),
    };
    match Size::from_str(&text) {
        Ok(size) => Some(size),
        Err(error) => {
            let message = format!("{what}: {error}");
            diagnostics.push(Diagnostic::error(message).at(node.span, "").hint("2, or \"25%\""));
            None
        }
    }
}

fn size(reader: &mut MapReader<'_, '_>, key: &'static str) -> Option<Spanned<Size>> {
    let node = reader.node(key)?;
    let what = format!("`{key}` of {}", reader.what());
    Some(Spanned::new(size_of(node, &what, reader.diagnostics())?, node.span))
}

fn batch(reader: &mut MapReader<'_, '_>) -> Option<Spanned<Vec<Size>>> {
    let node = reader.node("batch")?;
    let items = match &node.value {
        Yaml::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let what = format!("`batch` of {}", reader.what());
    let sizes = items.iter().filter_map(|item| size_of(item, &what, reader.diagnostics())).collect();
    Some(Spanned::new(sizes, node.span))
}

fn time(reader: &mut MapReader<'_, '_>, key: &'static str) -> Option<Spanned<Duration>> {
    let node = reader.node(key)?;
    let read = match (&node.value, node.as_float()) {
        (Yaml::Text(text), _) => parse_duration(text),
        (_, Some(seconds)) => Duration::try_from_secs_f64(seconds).ok(),
        _ => None,
    };
    match read {
        Some(time) => Some(Spanned::new(time, node.span)),
        None => reader.wrong(key, "a duration such as 10s, 5m or 2h", node),
    }
}

fn word<T: Copy>(
    reader: &mut MapReader<'_, '_>,
    key: &'static str,
    words: &[(&str, T)],
) -> Option<Spanned<T>> {
    let text = reader.text(key)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
        return Some(Spanned::new(*value, text.span));
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let message =
        format!("`{key}` of {} is one of {}, not `{}`", reader.what(), names.join(", "), text.value);
    let near = nearest(text.value, names);
    reader.diagnostics().push(Diagnostic::error(message).at(text.span, "").did_you_mean(near));
    None
}
