//! `wait`: until a port, a web server, a path or a command is as wanted. It never changes anything.

use std::time::Duration;

use cm_wire::{Change, Mode, Value};

use crate::{
    AbsolutePath, Class, Context, Effect, Int, Kind, Module, Param, ParamError, Params, Problem, Resource,
    Seen, Touches,
    checks::{
        Address, CommandProbe, FileProbe, FileState, HttpProbe, Miss, PortProbe, PortState, Probe, Url, poll,
        seconds,
    },
    choice, params,
};

choice! {
    /// What to wait for.
    pub enum State {
        /// A port accepts connections.
        Open = "open",
        /// A port does not.
        Closed = "closed",
        /// A path is there.
        Present = "present",
        /// A path is not.
        Absent = "absent",
    }
}

params! {
    /// Waits until something is as wanted, and fails with what it saw last when the time is out.
    ///
    /// One of `port`, `http`, `file` and `command` says what to wait for; the task's own word is then
    /// only a name for it. Without them the word says it: `80`, `db1:5432`, `http://127.0.0.1/`,
    /// `/run/app.sock`. It is ordered with everything written before and after it in its role, as a
    /// command is. A plan does not wait.
    pub struct Wait = "wait" {
        /// A name for what is waited for, or the thing itself.
        subject name: Word,
        /// A TCP port of this machine (`80`) or of a host (`db1:5432`).
        port: Option<Address>,
        /// An address that a web server answers, by a status from 200 to 399.
        http: Option<Url>,
        /// A path.
        file: Option<AbsolutePath>,
        /// A command line that succeeds. It must only ask.
        command: Option<String>,
        /// For a port `open` or `closed`, for a file `present` or `absent`.
        state: Option<State>,
        /// For `http`: the status wanted, or a list of them.
        status: Option<Vec<Int<100, 599>>>,
        /// How long to wait.
        within: Duration = Duration::from_secs(300),
    }
}

/// The registry's entry.
pub const MODULE: Module = Module { schema: &Wait::SCHEMA, compile };

/// A text or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(String);

impl Param for Word {
    const KIND: Kind = Kind::Any;
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) if !text.trim().is_empty() => Ok(Self(text.clone())),
            Value::Int(number) => Ok(Self(number.to_string())),
            other => Err(format!("wants a string, not {}", other.kind())),
        }
    }
}

fn compile(params: &Params) -> Result<Box<dyn Resource>, ParamError> {
    let wait = Wait::from_params(params)?;
    let named = Target { port: wait.port, http: wait.http, file: wait.file, command: wait.command };
    let target = if named.given().is_empty() { Target::of_word(&wait.name.0)? } else { named };
    if let [_, second, ..] = target.given()[..] {
        return Err(ParamError::new(second, "cannot be given together with another thing to wait for"));
    }
    let wrong = |what: &str, state: State| {
        ParamError::new("state", format!("{:?} cannot be waited for of {what}", state.word()))
    };
    if wait.status.is_some() && target.http.is_none() {
        return Err(ParamError::new("status", "belongs to `http`"));
    }
    let probe: Box<dyn Probe> = match (target, wait.state) {
        (Target { port: Some(address), .. }, state) => match state {
            None | Some(State::Open) => Box::new(PortProbe { address, state: PortState::Open }),
            Some(State::Closed) => Box::new(PortProbe { address, state: PortState::Closed }),
            Some(state) => return Err(wrong("a port", state)),
        },
        (Target { file: Some(path), .. }, state) => match state {
            None | Some(State::Present) => Box::new(FileProbe::state(path, FileState::Present)),
            Some(State::Absent) => Box::new(FileProbe::state(path, FileState::Absent)),
            Some(state) => return Err(wrong("a file", state)),
        },
        (Target { http: Some(_), .. }, Some(state)) => return Err(wrong("a web server", state)),
        (Target { command: Some(_), .. }, Some(state)) => return Err(wrong("a command", state)),
        (Target { http: Some(url), .. }, None) => Box::new(HttpProbe::answers(url).with_status(wait.status)),
        (Target { command: Some(line), .. }, None) => Box::new(CommandProbe::succeeds(line)?),
        (_, _) => return Err(unknown(&wait.name.0)),
    };
    Ok(Box::new(Waiting { probe, within: wait.within }))
}

/// What is waited for: one of these.
#[derive(Default)]
struct Target {
    port: Option<Address>,
    http: Option<Url>,
    file: Option<AbsolutePath>,
    command: Option<String>,
}

impl Target {
    /// The names of those that are given.
    fn given(&self) -> Vec<&'static str> {
        let all = [
            ("port", self.port.is_some()),
            ("http", self.http.is_some()),
            ("file", self.file.is_some()),
            ("command", self.command.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }

    /// The thing that a word names by its form: a URL, a path, or a port with or without a host.
    fn of_word(word: &str) -> Result<Self, ParamError> {
        let error = |message: String| ParamError::new("name", message);
        if word.contains("://") {
            return Ok(Self { http: Some(Url::read(&word.into()).map_err(error)?), ..Self::default() });
        }
        if word.starts_with('/') {
            return Ok(Self { file: Some(AbsolutePath::parse(word).map_err(error)?), ..Self::default() });
        }
        let word = word.strip_prefix("port ").unwrap_or(word).trim();
        let address = Address::parse(word).map_err(|_| unknown(word))?;
        Ok(Self { port: Some(address), ..Self::default() })
    }
}

fn unknown(word: &str) -> ParamError {
    ParamError::new(
        "name",
        format!(
            "{word:?} is not a port, an address or a path; `port`, `http`, `file` or `command` says what to wait for"
        ),
    )
}

struct Waiting {
    probe: Box<dyn Probe>,
    within: Duration,
}

impl Resource for Waiting {
    fn touches(&self) -> Touches {
        // What it waits for comes of what is written before it, and what follows rests on it.
        Touches::new(Class::Opaque).part()
    }

    fn look(&self, context: &Context<'_>) -> Result<Seen, Problem> {
        if context.mode != Mode::Apply {
            return Ok(Seen::AsWanted);
        }
        if context.at_start {
            return Ok(Seen::Later);
        }
        Ok(match poll(&*self.probe, Duration::ZERO, context)? {
            Ok(()) => Seen::AsWanted,
            Err(Miss { attribute, wanted, seen }) => {
                Seen::Differs(vec![Change::new(attribute, Some(seen), Some(wanted))])
            }
        })
    }

    fn change(&self, context: &Context<'_>) -> Result<Effect, Problem> {
        let effect = Effect { changed: Some(false), final_: true, ..Effect::default() };
        if context.planning() {
            return Ok(effect);
        }
        let within = self.within.min(context.remaining());
        match poll(&*self.probe, within, context)? {
            Ok(()) => Ok(effect),
            Err(Miss { attribute, wanted, seen }) => Err(Problem::new(format!(
                "waited {} for {}: {attribute} should be {wanted}, but was: {seen}",
                seconds(within),
                self.probe.subject()
            ))
            .hint("`within` waits longer; what should be there may have failed to start")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::{
        Real,
        bench::{closed_port, context},
    };

    fn try_task(name: Value, more: &[(&str, Value)]) -> Result<Box<dyn Resource>, ParamError> {
        let mut params: Params =
            more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        params.insert("name".into(), name);
        compile(&params)
    }

    fn task(name: impl Into<Value>, more: &[(&str, Value)]) -> Box<dyn Resource> {
        try_task(name.into(), more).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn it_waits_in_apply_alone_and_never_changes() {
        let real = Real::new();
        let task = task("it", &[("file", "/no/such/path".into()), ("within", "60ms".into())]);
        assert_eq!(task.look(&context(&real, Mode::Plan)).unwrap(), Seen::AsWanted);
        assert_eq!(task.look(&context(&real, Mode::Verify)).unwrap(), Seen::AsWanted);
        let start = Context { at_start: true, ..context(&real, Mode::Apply) };
        assert_eq!(task.look(&start).unwrap(), Seen::Later);
        let apply = context(&real, Mode::Apply);
        assert!(matches!(task.look(&apply), Ok(Seen::Differs(_))));
        let problem = task.change(&apply).unwrap_err();
        assert_eq!(
            problem.message,
            "waited 0.1 s for /no/such/path: state should be present, but was: absent"
        );
        assert_eq!(task.change(&context(&real, Mode::Plan)).unwrap().changed, Some(false));
    }

    #[test]
    fn it_goes_on_when_what_it_waits_for_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        let real = Real::new();
        let file = task("it", &[("file", path.to_str().unwrap().into())]);
        let command = task("it", &[("command", format!("test -e {}", path.display()).into())]);
        std::thread::scope(|scope| {
            let waits = [&file, &command].map(|task| {
                let real = &real;
                scope.spawn(move || task.change(&context(real, Mode::Apply)).unwrap())
            });
            std::fs::write(&path, "").unwrap();
            for wait in waits {
                assert_eq!(wait.join().unwrap().changed, Some(false));
            }
        });
        assert_eq!(file.look(&context(&real, Mode::Apply)).unwrap(), Seen::AsWanted);
        let gone = task("it", &[("file", path.to_str().unwrap().into()), ("state", "absent".into())]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(gone.look(&context(&real, Mode::Apply)).unwrap(), Seen::AsWanted);
    }

    #[test]
    fn a_word_can_be_the_thing_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let real = Real::new();
        let apply = context(&real, Mode::Apply);
        for word in [
            Value::Int(port.into()),
            format!("127.0.0.1:{port}").into(),
            format!("port {port}").into(),
            "/proc".into(),
        ] {
            assert_eq!(task(word.clone(), &[]).look(&apply).unwrap(), Seen::AsWanted, "{word:?}");
        }
        let (_held, port) = closed_port();
        let http = task(format!("http://127.0.0.1:{port}/"), &[]);
        assert!(matches!(http.look(&apply), Ok(Seen::Differs(_))));
        let closed = task("gone", &[("port", Value::Int(port.into())), ("state", "closed".into())]);
        assert_eq!(closed.look(&apply).unwrap(), Seen::AsWanted);
    }

    #[test]
    fn what_cannot_be_waited_for_is_refused_before_any_run() {
        let refused = |name: Value, more: &[(&str, Value)]| try_task(name, more).err().unwrap().to_string();
        assert!(refused("the database".into(), &[]).contains("says what to wait for"));
        assert!(refused("it".into(), &[("port", Value::Int(1)), ("file", "/x".into())]).contains("together"));
        assert!(
            refused("it".into(), &[("port", Value::Int(1)), ("state", "absent".into())])
                .contains("of a port")
        );
        assert!(
            refused("it".into(), &[("command", "true".into()), ("state", "open".into())])
                .contains("of a command")
        );
        assert!(
            refused("it".into(), &[("file", "/x".into()), ("status", Value::Int(200))])
                .contains("belongs to `http`")
        );
        assert!(refused("it".into(), &[("port", Value::Int(0))]).contains("1 to 65535"));
        assert!(refused("ftp://x".into(), &[]).contains("http://"));
    }
}
