//! One entry of `sources:` as written.

use std::collections::BTreeMap;
use std::time::Duration;

use cm_syntax::{Diagnostic, Diagnostics, MapReader, Node, Span, Spanned, Yaml, nearest};

use super::GiveSecret;
use crate::ansible::words;
use crate::settings::is_template;
use crate::{duration, fill};

/// How long a source may take where it does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Sources a repository may have.
const MOST: usize = 100;

/// A source of hosts.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub kind: Kind,
    /// Where it is named.
    pub span: Span,
    pub timeout: Duration,
    /// How long what it gave is used without asking again.
    pub cache: Duration,
    /// Whether what it gave before is used when it gives nothing.
    pub stale: bool,
    /// None: told by what it gives.
    pub format: Option<Format>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Command(Vec<String>),
    Http { url: String, headers: Vec<(String, Node)> },
}

/// What a source gives.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Our own inventory as JSON.
    Cm,
    /// What Ansible's `--list` prints.
    Ansible,
}

impl Spec {
    /// How messages call it.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Kind::Command(words) => words.join(" "),
            Kind::Http { url, .. } => url.clone(),
        }
    }
}

/// Reads `sources` of a file.
pub(crate) fn read<'a>(reader: &mut MapReader<'a, '_>, specs: &mut Vec<Spec>) {
    for item in reader.list("sources").unwrap_or_default() {
        let diagnostics = reader.diagnostics();
        if specs.len() >= MOST {
            diagnostics.push(
                Diagnostic::error(format!("there are more than {MOST} sources of hosts")).at(item.span, ""),
            );
            return;
        }
        specs.extend(one(item, diagnostics));
    }
}

fn one(item: &Node, diagnostics: &mut Diagnostics) -> Option<Spec> {
    let mut reader = MapReader::new(item, "an item of `sources`", diagnostics);
    let (command, url) = (reader.node("command"), reader.text("http"));
    let headers = reader.entry("headers");
    let header_entries = reader.map("headers").unwrap_or_default();
    let timeout = time(&mut reader, "timeout");
    let cache = time(&mut reader, "cache");
    let stale = word(&mut reader, "stale", &["allowed", "refused"]);
    let format = word(&mut reader, "format", &["cm", "ansible"]);
    reader.finish();
    let kind = match (command, url) {
        (Some(node), None) => {
            if let Some(headers) = headers {
                diagnostics.push(
                    Diagnostic::error("`headers` go with `http`").at(headers.key.span, "not with `command`"),
                );
            }
            (Kind::Command(command_words(node, diagnostics)?), node.span)
        }
        (None, Some(url)) => {
            if !url.value.starts_with("http://") && !url.value.starts_with("https://") {
                diagnostics.push(
                    Diagnostic::error(format!("`{}` is no address of HTTP", url.value))
                        .at(url.span, "neither http:// nor https://"),
                );
                return None;
            }
            let mut headers = Vec::new();
            for entry in header_entries {
                if entry.value.as_text().is_none() {
                    diagnostics.push(
                        Diagnostic::error(format!(
                            "the header `{}` is a string, not {}",
                            entry.key.value,
                            entry.value.kind()
                        ))
                        .at(entry.value.span, ""),
                    );
                }
                headers.push((entry.key.value.clone(), entry.value.clone()));
            }
            (Kind::Http { url: url.value.to_owned(), headers }, url.span)
        }
        (both, _) => {
            let message = match both {
                Some(_) => "a source is a `command` or `http`, not both",
                None => "a source needs `command` or `http`",
            };
            diagnostics.push(Diagnostic::error(message).at(item.span, "").hint(
                "sources: [{ command: ./hosts.sh }, { http: \"https://cmdb.example.org/hosts.json\" }]",
            ));
            return None;
        }
    };
    let timeout = timeout.unwrap_or(TIMEOUT);
    Some(Spec {
        kind: kind.0,
        span: kind.1,
        timeout: if timeout.is_zero() { TIMEOUT } else { timeout },
        cache: cache.unwrap_or_default(),
        stale: stale.is_some_and(|word| word.value == "allowed"),
        format: format.map(|word| if word.value == "cm" { Format::Cm } else { Format::Ansible }),
    })
}

/// A text as a shell would part it (without being one), or a list of words.
fn command_words(node: &Node, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
    let found: Option<Vec<String>> = match &node.value {
        Yaml::Text(text) => {
            words::split(text).ok().map(|words| words.into_iter().map(|word| word.text).collect())
        }
        Yaml::List(items) => items.iter().map(|item| item.as_text().map(str::to_owned)).collect(),
        _ => None,
    };
    let found = found.filter(|words| words.first().is_some_and(|program| !program.is_empty()));
    if found.is_none() {
        diagnostics.push(
            Diagnostic::error("`command` of a source is a program and its arguments")
                .at(node.span, format!("{} is not", node.described()))
                .hint("command: ./hosts.sh --all, or a list of words"),
        );
    }
    found
}

fn time<'a>(reader: &mut MapReader<'a, '_>, key: &'a str) -> Option<Duration> {
    let node = reader.node(key)?;
    let time = match &node.value {
        Yaml::Int(seconds) => duration::parse(&seconds.to_string()),
        Yaml::Text(text) => duration::parse(text),
        _ => None,
    };
    match time {
        Some(time) => Some(time),
        None => reader.wrong(key, "a time such as 10s or 1h", node),
    }
}

fn word<'a>(
    reader: &mut MapReader<'a, '_>,
    key: &'a str,
    known: &[&'static str],
) -> Option<Spanned<&'a str>> {
    let word = reader.text(key)?;
    if known.contains(&word.value) {
        return Some(word);
    }
    let message = format!("`{key}` of a source is {}", known.join(" or "));
    let near = nearest(word.value, known.iter().copied());
    reader.diagnostics().push(Diagnostic::error(message).at(word.span, "").did_you_mean(near));
    None
}

/// A header with `{{ secrets.NAME }}` and `{{ env.NAME }}` filled in.
pub(super) fn filled(node: &Node, secret: &GiveSecret<'_>) -> Result<String, Box<Diagnostic>> {
    let text = node.as_text().unwrap_or_default();
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    let wrong = |message: String| Box::new(Diagnostic::error(message).at(node.span, ""));
    let environment = fill::environment();
    let template = environment
        .template_from_str(text)
        .map_err(|error| wrong(error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)))?;
    let mut known: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for name in template.undeclared_variables(true) {
        match name.split_once('.') {
            Some(("secrets", name)) => match secret(name) {
                Some(value) => {
                    known.entry("secrets").or_default().insert(name.to_owned(), value?);
                }
                None => return Err(wrong(format!("there is no secret `{name}`"))),
            },
            Some(("env", name)) => match std::env::var(name) {
                Ok(value) => {
                    known.entry("env").or_default().insert(name.to_owned(), value);
                }
                Err(_) => return Err(wrong(format!("the environment has no `{name}`"))),
            },
            _ => {
                return Err(Box::new(
                    Diagnostic::error(format!("`{name}` is not known in a header"))
                        .at(node.span, "")
                        .hint("write \"{{ secrets.NAME }}\" or \"{{ env.NAME }}\""),
                ));
            }
        }
    }
    // What is wrong here may hold the secret: the message does not.
    template.render(known).map_err(|_| wrong("this header cannot be filled in".to_owned()))
}
