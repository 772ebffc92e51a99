//! Fetching of a file by its URL to a file without a name: plain http by the crate's own client, https by
//! the node's curl or wget (the agent has no TLS), `file://` from the node itself.
//!
//! Headers and users of URLs may be secrets: they are never shown and never stand in process arguments.

mod client;
#[cfg(test)]
pub mod tests;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use cm_wire::Value;

use super::checksum::Checksum;
use crate::{
    AbsolutePath, Context, Doing, Kind, Param, Problem,
    checks::{Request, Target, connect, download},
    encoding::{base64, percent_decoded},
    node::{Content, Source},
};

/// Redirections followed, as browsers do it.
const MOST_REDIRECTS: usize = 20;

/// Where a file is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUrl(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// On the node.
    Here(PathBuf),
    /// On a server.
    There(Remote),
}

/// A file of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Remote {
    tls: bool,
    /// `user:password` as written, percent-encoded; empty for none.
    user: String,
    /// Host, port, path and query.
    rest: String,
}

impl Param for FileUrl {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        Self::parse(&String::read(value)?)
    }
}

impl FileUrl {
    /// Reads an `http://`, `https://` or `file:///` URL. Errors do not repeat it: it may hold a password.
    ///
    /// # Errors
    /// A fragment that says what is wanted.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file://") {
            let path = path.strip_prefix("localhost").unwrap_or(path);
            let decoded = String::from_utf8(percent_decoded(path))
                .map_err(|_| "wants a path in UTF-8 after `file://`".to_owned())?;
            return Ok(Self(Place::Here(AbsolutePath::parse(&decoded)?.0)));
        }
        Remote::parse(text).map(|remote| Self(Place::There(remote)))
    }

    /// Whether it is a file of the node, which a plan can read as well.
    pub fn is_local(&self) -> bool {
        matches!(self.0, Place::Here(_))
    }

    /// For messages: without user, password and query.
    pub fn show(&self) -> String {
        match &self.0 {
            Place::Here(path) => path.display().to_string(),
            Place::There(remote) => remote.show(),
        }
    }
}

impl Remote {
    fn parse(text: &str) -> Result<Self, String> {
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            _ => return Err("wants an address that begins with http://, https:// or file:///".into()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, rest) = match rest[..end].rfind('@') {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => ("", rest),
        };
        Target::parse(rest)?;
        if user.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("has a blank in its user; write `%20`".into());
        }
        Ok(Self { tls, user: user.to_owned(), rest: rest.to_owned() })
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    fn show(&self) -> String {
        let (path, query) = match self.rest.find(['?', '#']) {
            Some(end) => (&self.rest[..end], "?…"),
            None => (&*self.rest, ""),
        };
        format!("{}://{path}{query}", self.scheme())
    }

    fn host(&self) -> &str {
        &self.rest[..self.rest.find(['/', '?', '#']).unwrap_or(self.rest.len())]
    }

    /// Where a `Location` header leads from here (RFC 3986, section 5.2).
    fn follow(&self, location: &str) -> Result<Self, String> {
        let location = location.split('#').next().unwrap_or_default();
        let next = if location.contains("://") {
            Self::parse(location)?
        } else if let Some(rest) = location.strip_prefix("//") {
            Self::parse(&format!("{}://{rest}", self.scheme()))?
        } else {
            let path = &self.rest[self.host().len()..];
            let path = path.split(['?', '#']).next().unwrap_or_default();
            let path = match location {
                absolute if absolute.starts_with('/') => absolute.to_owned(),
                query if query.starts_with('?') => format!("{path}{query}"),
                relative => format!("{}/{relative}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
            };
            Self { user: self.user.clone(), tls: self.tls, rest: format!("{}{path}", self.host()) }
        };
        if self.tls && !next.tls {
            return Err(format!("{} leads to {}, which is not encrypted", self.show(), next.show()));
        }
        Target::parse(&next.rest)?;
        Ok(next)
    }
}

/// How one request ended.
struct Answer {
    status: u16,
    location: Option<String>,
}

/// Headers as a user gives them.
pub type Headers = std::collections::BTreeMap<String, String>;

/// Whether headers can be sent (RFC 9110, section 5).
///
/// # Errors
/// A fragment that names the header and not its value.
pub fn check_headers(headers: &Headers) -> Result<(), String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    for (name, value) in headers {
        if name.is_empty() || !name.bytes().all(token) || value.contains(['\r', '\n', '\0']) {
            return Err(format!("cannot send {name:?}: a header is a name and one line of text"));
        }
    }
    Ok(())
}

/// Fetches a file; `near` is where it is going to be, so that it is gathered on that file system.
///
/// # Errors
/// When it cannot be had, or is not what its checksum says.
pub fn fetch(
    context: &Context<'_>,
    url: &FileUrl,
    headers: &Headers,
    checksum: Option<&Checksum>,
    near: &Path,
) -> Result<Content, Problem> {
    let near = near.parent().unwrap_or(near);
    let content = match &url.0 {
        Place::Here(path) => {
            let reading = format_args!("reading {}", path.display());
            let mut source = context.node.open(path).doing(reading)?;
            let mut spool = context.node.spool(near);
            copy(&mut source, &mut spool, context).doing(reading)?;
            spool.finish().doing(reading)?
        }
        Place::There(remote) => from_server(context, remote, headers, near)?,
    };
    if let Some(wanted) = checksum {
        let reading = "reading what was fetched";
        let source = match (context.node.open_content(&content), &url.0) {
            // The image of a plan keeps only the name of what is large.
            (Err(error), Place::Here(path)) if error.kind() == io::ErrorKind::Unsupported => {
                context.node.open(path)
            }
            (source, _) => source,
        };
        let given = wanted.of_same_kind(source.doing(reading)?).doing(reading)?;
        if given != *wanted {
            return Err(Problem::new(format!(
                "{} has the checksum {} and not {}; nothing was changed",
                url.show(),
                given.show(),
                wanted.show()
            ))
            .hint(
                "the file on the server is another one now, or what came is damaged or not from its author",
            ));
        }
    }
    Ok(content)
}

/// Copies until the end, the deadline or the end of the run.
fn copy(source: &mut Source, spool: &mut impl Write, context: &Context<'_>) -> io::Result<()> {
    use std::io::Read;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if Instant::now() >= context.deadline || (context.stopping)() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "there was no time to end it"));
        }
        match source.read(&mut buffer)? {
            0 => return Ok(()),
            count => spool.write_all(&buffer[..count])?,
        }
    }
}

fn from_server(
    context: &Context<'_>,
    first: &Remote,
    headers: &Headers,
    near: &Path,
) -> Result<Content, Problem> {
    let mut remote = first.clone();
    for _ in 0..=MOST_REDIRECTS {
        // What was given for one server is not told to another, nor to the same one unencrypted.
        let trusted = (remote.host(), remote.tls || !first.tls) == (first.host(), true);
        let none = Headers::new();
        let headers = if trusted { headers } else { &none };
        let failed = |reason: String| Problem::new(format!("fetching {}: {reason}", remote.show()));
        let mut spool = context.node.spool(near);
        let answer = if remote.tls {
            client::ask(context, &remote, headers, &mut spool)?
        } else {
            ask_plainly(context, &remote, headers, &mut spool).map_err(&failed)?
        };
        match (answer.status, answer.location) {
            (200, _) => {
                return spool.finish().doing(format_args!("keeping what came from {}", remote.show()));
            }
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                remote = remote.follow(&location).map_err(failed)?;
            }
            (status, _) => {
                let problem = failed(format!("the server answered {status}{}", meaning(status)));
                return Err(match status {
                    401 | 403 => problem.hint("`headers` can hold an `Authorization`"),
                    404 | 410 => problem.hint("the address may have a typo, or the file has moved"),
                    _ => problem,
                });
            }
        }
    }
    Err(Problem::new(format!("fetching {}: more than {MOST_REDIRECTS} redirections", first.show())))
}

fn meaning(status: u16) -> &'static str {
    match status {
        401 => " (who are you?)",
        403 => " (forbidden)",
        404 => " (not found)",
        410 => " (gone)",
        429 => " (too many requests)",
        500..=599 => " (the server has a problem)",
        _ => "",
    }
}

/// Asks by the crate's own client.
fn ask_plainly(
    context: &Context<'_>,
    remote: &Remote,
    headers: &Headers,
    spool: &mut impl Write,
) -> Result<Answer, String> {
    let target = Target::parse(&remote.rest)?;
    let mut headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if !remote.user.is_empty() {
        let user = base64(&percent_decoded(&remote.user));
        headers.push(("Authorization".into(), format!("Basic {user}")));
    }
    let request = Request { method: "GET", target: &target, headers: &headers, body: b"" };
    let mut stream = connect(&target.address, context, context.remaining())?;
    let head = download(&mut stream, &request, context.deadline, context.stopping, spool)?;
    Ok(Answer { status: head.status, location: head.location })
}
