//! https by a program of the node: curl, or wget where no header has to be sent.

use super::{Answer, Headers, Remote};
use crate::{
    Context, Problem,
    node::{Command, Finished, Spool},
};

/// Asks with curl or, where that is not there, wget. What comes goes to the spool.
pub(super) fn ask(
    context: &Context<'_>,
    remote: &Remote,
    headers: &Headers,
    spool: &mut Spool,
) -> Result<Answer, Problem> {
    match run(context, &["curl", "--config", "-"], curl_config(context, remote, headers), remote, spool)? {
        Some(finished) => return curl_answer(remote, &finished),
        None if !headers.is_empty() || !remote.user.is_empty() => {
            return Err(Problem::new(format!(
                "fetching {}: https with headers or a password needs curl on the node, which is not there",
                remote.show()
            ))
            .hint("`- package: curl` before this task installs it"));
        }
        None => {}
    }
    // The address comes by standard input: its query may be a secret.
    let wget = ["wget", "--no-verbose", "--tries=1", "--output-document=-", "--input-file=-"];
    match run(context, &wget, format!("https://{}\n", remote.rest), remote, spool)? {
        Some(finished) if finished.success() => Ok(Answer { status: 200, location: None }),
        Some(finished) => Err(failed(remote, "wget", &finished)),
        None => Err(Problem::new(format!(
            "fetching {}: https needs curl or wget on the node, and neither is there",
            remote.show()
        ))
        .hint("`- package: curl` before this task installs it")),
    }
}

/// Runs a program that writes to the spool; none where it is not there.
fn run(
    context: &Context<'_>,
    argv: &[&str],
    stdin: String,
    remote: &Remote,
    spool: &mut Spool,
) -> Result<Option<Finished>, Problem> {
    let told = |error: std::io::Error| {
        Problem::new(format!("fetching {}: running {}: {error}", remote.show(), argv[0]))
    };
    let command = Command {
        stdin: Some(stdin.into_bytes()),
        output: Some(spool.descriptor().map_err(told)?),
        deadline: context.deadline,
        ..Command::query(argv)
    };
    match context.node.run(&command) {
        Ok(finished) if finished.timed_out => {
            Err(Problem::new(format!("fetching {}: it did not end in time and was given up", remote.show()))
                .hint("`timeout` on the task gives it more time"))
        }
        Ok(finished) => Ok(Some(finished)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(told(error)),
    }
}

/// curl's own configuration, which it reads from standard input: see curl(1), `--config`.
fn curl_config(context: &Context<'_>, remote: &Remote, headers: &Headers) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#));
    let user = if remote.user.is_empty() { String::new() } else { format!("{}@", remote.user) };
    let mut lines = vec![
        "silent".to_owned(),
        "show-error".to_owned(),
        // An address may hold brackets and braces.
        "globoff".to_owned(),
        "proto = \"=https\"".to_owned(),
        format!("max-time = {}", context.remaining().as_secs().max(1)),
        // Redirections are followed here, so that headers go to nobody else.
        r#"write-out = "%{stderr}\n%{http_code} %{redirect_url}\n""#.to_owned(),
        format!("url = {}", quote(&format!("https://{user}{}", remote.rest))),
    ];
    lines.extend(
        headers.iter().map(|(name, value)| format!("header = {}", quote(&format!("{name}: {value}")))),
    );
    lines.join("\n") + "\n"
}

fn curl_answer(remote: &Remote, finished: &Finished) -> Result<Answer, Problem> {
    if !finished.success() {
        return Err(failed(remote, "curl", finished));
    }
    let last = finished.output.stderr.trim_end().rsplit('\n').next().unwrap_or_default();
    let (status, location) = last.split_once(' ').unwrap_or((last, ""));
    let status = status.parse().map_err(|_| failed(remote, "curl", finished))?;
    Ok(Answer { status, location: (!location.is_empty()).then(|| location.to_owned()) })
}

fn failed(remote: &Remote, program: &str, finished: &Finished) -> Problem {
    let said = finished.output.stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // Programs repeat the address they were given, with what is secret in it.
    let mut said = said.trim().trim_start_matches("curl: ").replace(&remote.rest, &remote.show());
    if !remote.user.is_empty() {
        said = said.replace(&remote.user, "[secret]");
    }
    let problem = Problem::new(format!(
        "fetching {}: {program} ended with status {}: {said}",
        remote.show(),
        finished.output.status
    ));
    if said.contains("certificate") {
        problem.hint("`- package: ca-certificates` brings the authorities that are trusted")
    } else {
        problem
    }
}

#[cfg(test)]
mod tests {
    use cm_wire::{Mode, Output};

    use super::*;
    use crate::{Empty, Overlay, bench};

    fn ended(status: i32, stderr: &str) -> Finished {
        let output = Output { status, stderr: stderr.into(), ..Output::default() };
        Finished { output, timed_out: false }
    }

    #[test]
    fn curl_is_told_everything_by_standard_input() {
        let node = Overlay::new(&Empty);
        let remote = Remote::parse(r#"https://a:p"w@h.example/x?[1]"#).unwrap();
        let headers = [("X-Token".to_owned(), r#"a"b\c"#.to_owned())].into();
        let config = curl_config(&bench::context(&node, Mode::Apply), &remote, &headers);
        assert!(config.contains("\nurl = \"https://a:p\\\"w@h.example/x?[1]\"\n"), "{config}");
        assert!(config.contains("\nheader = \"X-Token: a\\\"b\\\\c\"\n"), "{config}");
    }

    #[test]
    fn what_curl_says_is_understood() {
        let remote = Remote::parse("https://u:secret@h/x?sig=1").unwrap();
        let answer = curl_answer(&remote, &ended(0, "\n302 https://other/y\n")).unwrap();
        assert_eq!((answer.status, answer.location.as_deref()), (302, Some("https://other/y")));
        assert_eq!(curl_answer(&remote, &ended(0, "\n200 \n")).unwrap().status, 200);
        let problem = curl_answer(
            &remote,
            &ended(60, "curl: (60) SSL certificate problem at https://u:secret@h/x?sig=1\n"),
        )
        .err()
        .unwrap();
        assert!(problem.message.contains("status 60: (60) SSL certificate problem"), "{}", problem.message);
        assert!(
            !problem.message.contains("secret@") && !problem.message.contains("sig=1"),
            "{}",
            problem.message
        );
        assert!(problem.hint.unwrap().contains("ca-certificates"));
    }
}
