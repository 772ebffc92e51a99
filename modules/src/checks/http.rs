//! `http`: whether a web server answers as it should.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use cm_wire::Value;

use super::{
    Check, Miss, ONE_LOOK, Probe, Seeing,
    http_client::{Request, Response, Target, exchange},
    port::connect,
};
use crate::{
    Context, Int, Kind, Module, Param, ParamError, Params, Problem, Resource, node::Command, params,
};

/// How much of a body a message shows, in characters.
const SHOWN: usize = 80;

params! {
    /// A web server answers a request as it should. Redirections are not followed: their status counts.
    pub struct HttpCheck = "http" {
        /// The address: `http://127.0.0.1:8080/health`. For `https://` the node needs curl.
        subject url: Url,
        /// The status wanted, or a list of them; any from 200 to 399 otherwise.
        status: Option<Vec<Int<100, 599>>>,
        /// Text the body must hold; of several, all.
        contains: Option<Vec<String>>,
        /// The method.
        method: Method = Method("GET".to_owned()),
        /// Headers to send; `Host` names another site of the same server.
        headers: BTreeMap<String, String> = BTreeMap::new(),
        /// What to send as body.
        body: Option<String>,
        /// With `https://`: take any certificate.
        insecure: bool = false,
        /// How long to go on looking until it holds. Ten seconds after changes, else a single look.
        within: Option<Duration>,
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &HttpCheck::SCHEMA, compile };

/// A URL that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    text: String,
    /// None: https, which curl asks.
    plain: Option<Target>,
}

impl Param for Url {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let text = String::read(value)?;
        let problem = |error: String| format!("{error} (in {text:?})");
        if let Some(rest) = text.strip_prefix("http://") {
            let plain = Some(Target::parse(rest).map_err(problem)?);
            return Ok(Self { text, plain });
        }
        let Some(rest) = text.strip_prefix("https://") else {
            return Err(format!("wants an address that begins with http:// or https://, not {text:?}"));
        };
        Target::parse(rest).map_err(problem)?;
        Ok(Self { text, plain: None })
    }
}

/// A method name: a token of RFC 9110.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(String);

impl Param for Method {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        let text = String::read(value)?;
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("wants a method such as GET or HEAD, not {text:?}"));
        }
        Ok(Self(text))
    }
}

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let within = HttpCheck::from_params(params)?.within;
    Ok(Box::new(Check { probe: HttpProbe::new(HttpCheck::from_params(params)?)?, within }))
}

/// Asks and judges the answer.
#[derive(Clone, Debug)]
pub struct HttpProbe(HttpCheck);

impl HttpProbe {
    fn new(check: HttpCheck) -> Result<Self, ParamError> {
        for (name, value) in &check.headers {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) || value.contains(['\r', '\n', '\0']) {
                return Err(ParamError::new("headers", format!("cannot send {name:?}: {value:?}")));
            }
        }
        Ok(Self(check))
    }

    /// Any answer of 200 to 399 to a plain request.
    pub fn answers(url: Url) -> Self {
        Self(HttpCheck {
            url,
            status: None,
            contains: None,
            method: Method("GET".to_owned()),
            headers: BTreeMap::new(),
            body: None,
            insecure: false,
            within: None,
        })
    }

    /// The same with these statuses only.
    #[must_use]
    pub fn with_status(mut self, status: Option<Vec<Int<100, 599>>>) -> Self {
        self.0.status = status;
        self
    }

    fn judge(&self, response: &Response) -> Seeing {
        let wanted = |status: u16| match &self.0.status {
            Some(statuses) => statuses.iter().any(|wanted| wanted.0 == i64::from(status)),
            None => (200..400).contains(&status),
        };
        if !wanted(response.status) {
            return Err(Miss::new("status", self.statuses(), response.status.to_string()));
        }
        let body = String::from_utf8_lossy(&response.body);
        match self.0.contains.iter().flatten().find(|text| !body.contains(text.as_str())) {
            None => Ok(()),
            Some(text) => Err(Miss::new("body", format!("something with {text:?}"), shorten(&body))),
        }
    }

    fn statuses(&self) -> String {
        match &self.0.status {
            None => "200 to 399".to_owned(),
            Some(statuses) => {
                statuses.iter().map(|status| status.0.to_string()).collect::<Vec<_>>().join(" or ")
            }
        }
    }

    /// Asks with curl: the agent has no TLS of its own.
    fn curl(&self, context: &Context<'_>, limit: Duration) -> Result<Result<Response, String>, Problem> {
        let check = &self.0;
        let time = limit.as_secs_f64().to_string();
        let mut argv =
            vec!["curl", "--silent", "--show-error", "--max-time", &time, "--write-out", "\n%{http_code}"];
        if check.method.0 == "HEAD" {
            argv.push("--head");
        } else {
            argv.extend(["--request", &check.method.0]);
        }
        if check.insecure {
            argv.push("--insecure");
        }
        if check.body.is_some() {
            argv.extend(["--data-binary", "@-"]);
        }
        let headers: Vec<String> =
            check.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        for header in &headers {
            argv.extend(["--header", header]);
        }
        argv.extend(["--", &check.url.text]);
        let command = Command {
            stdin: check.body.clone().map(String::into_bytes),
            deadline: Instant::now() + limit + Duration::from_secs(1),
            ..Command::query(&argv)
        };
        let finished = match context.node.run(&command) {
            Ok(finished) => finished,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Problem::new(format!(
                    "{}: https needs curl on the node, which is not there",
                    check.url.text
                ))
                .hint("`- package: curl` installs it; or check the plain http address"));
            }
            Err(error) => return Err(Problem::new(format!("running curl: {error}"))),
        };
        let answer = finished.output.stdout.rsplit_once('\n').and_then(|(body, status)| {
            let status = status.parse().ok().filter(|&status| status > 0)?;
            Some(Response { status, body: body.as_bytes().to_vec() })
        });
        Ok(match answer {
            Some(response) if finished.success() => Ok(response),
            _ => Err(shorten(finished.output.stderr.trim().trim_start_matches("curl: "))),
        })
    }
}

impl Probe for HttpProbe {
    fn subject(&self) -> String {
        self.0.url.text.clone()
    }

    fn look(&self, context: &Context<'_>, limit: Duration) -> Result<Seeing, Problem> {
        let limit = limit.min(ONE_LOOK);
        let answer = match &self.0.url.plain {
            None => self.curl(context, limit)?,
            Some(target) => {
                let end = Instant::now() + limit;
                let headers: Vec<(String, String)> = self.0.headers.clone().into_iter().collect();
                let body = self.0.body.as_deref().unwrap_or_default().as_bytes();
                let request = Request { method: &self.0.method.0, target, headers: &headers, body };
                connect(&target.address, context, limit)
                    .and_then(|mut stream| exchange(&mut stream, &request, end))
            }
        };
        Ok(match answer {
            Ok(response) => self.judge(&response),
            Err(reason) => Err(Miss::new("status", self.statuses(), format!("no answer ({reason})"))),
        })
    }
}

/// The beginning of a text, on one line.
fn shorten(text: &str) -> String {
    if text.trim().is_empty() {
        return "nothing".to_owned();
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &line[..end]),
        None => format!("{line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
    };

    use cm_wire::Mode;

    use super::*;
    use crate::{
        Empty, Overlay, Real, Seen,
        bench::{closed_port, context},
    };

    /// A server that gives these answers, one a connection; what it was asked is given back.
    fn server(answers: Vec<&'static str>) -> (u16, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while reader.read_line(&mut head).unwrap() > 2 {}
                asked.push(head);
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        (port, thread)
    }

    fn params(url: String, more: &[(&str, Value)]) -> Params {
        let mut params: Params =
            more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        params.insert("url".into(), url.into());
        params
    }

    #[test]
    fn status_and_body_are_checked() {
        let hello = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello world\n";
        let moved = "HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n";
        let broken = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
        let (port, thread) = server(vec![hello, moved, broken, hello, moved]);
        let node = Overlay::new(&Empty);
        let context = context(&node, Mode::Verify);
        let look = |more: &[(&str, Value)]| {
            compile(&params(format!("http://127.0.0.1:{port}/a?b"), more)).unwrap().look(&context).unwrap()
        };
        assert_eq!(look(&[("contains", "hello".into()), ("status", Value::Int(200))]), Seen::AsWanted);
        assert_eq!(look(&[]), Seen::AsWanted);
        let Seen::Differs(changes) = look(&[]) else { panic!() };
        assert_eq!(
            (changes[0].before.as_deref(), changes[0].after.as_deref()),
            (Some("502"), Some("200 to 399"))
        );
        let Seen::Differs(changes) = look(&[("contains", "good bye".into())]) else { panic!() };
        assert_eq!(changes[0].before.as_deref(), Some("\"hello world\""));
        let host = Value::Map([("Host".to_owned(), "example.org".into())].into());
        let Seen::Differs(changes) =
            look(&[("status", Value::Int(200)), ("headers", host), ("method", "HEAD".into())])
        else {
            panic!()
        };
        assert_eq!(changes[0].before.as_deref(), Some("301"));
        let asked = thread.join().unwrap();
        assert!(asked[0].starts_with("GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:"), "{}", asked[0]);
        assert!(
            asked[4].starts_with("HEAD /a?b HTTP/1.1\r\n") && asked[4].contains("\r\nHost: example.org\r\n")
        );
    }

    #[test]
    fn a_server_that_is_not_there_or_speaks_otherwise_is_told() {
        let (port, thread) = server(vec!["SSH-2.0-OpenSSH_9.2p1\r\n", ""]);
        let node = Overlay::new(&Empty);
        let context = context(&node, Mode::Verify);
        let seen = |url: String| {
            let probe = HttpProbe::answers(Url::read(&url.into()).unwrap());
            probe.look(&context, Duration::from_secs(5)).unwrap().unwrap_err().seen
        };
        let url = format!("http://127.0.0.1:{port}/");
        assert_eq!(seen(url.clone()), "no answer (what answered does not speak HTTP)");
        assert_eq!(seen(url), "no answer (the connection was closed before an answer came)");
        thread.join().unwrap();
        let (_held, port) = closed_port();
        assert_eq!(
            seen(format!("http://127.0.0.1:{port}/")),
            format!("no answer (127.0.0.1:{port} refuses connections)")
        );
    }

    #[test]
    fn https_needs_curl() {
        let node = Overlay::new(&Empty);
        let empty = context(&node, Mode::Verify);
        let probe = HttpProbe::answers(Url::read(&"https://127.0.0.1:1/".into()).unwrap());
        let problem = probe.look(&empty, Duration::from_secs(5)).unwrap_err();
        assert!(problem.message.contains("needs curl") && problem.hint.is_some(), "{problem:?}");
        let real = Real::new();
        let real = context(&real, Mode::Verify);
        match probe.look(&real, Duration::from_secs(5)) {
            Ok(seeing) => assert!(seeing.unwrap_err().seen.starts_with("no answer (")),
            Err(problem) => assert!(problem.message.contains("needs curl")),
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_before_any_run() {
        for url in ["ftp://x/", "127.0.0.1", "http:///", "http://h:99999/", "https://"] {
            assert!(compile(&params(url.into(), &[])).is_err(), "{url}");
        }
        let header = Value::Map([("A b".to_owned(), "x".into())].into());
        assert!(compile(&params("http://h/".into(), &[("headers", header)])).is_err());
        assert!(compile(&params("http://h/".into(), &[("method", "get".into())])).is_err());
        assert!(compile(&params("http://h/".into(), &[("status", Value::Int(99))])).is_err());
    }
}
