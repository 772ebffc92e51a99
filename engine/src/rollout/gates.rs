//! Gates that the controller asks: a command, a page, a query of Prometheus.

use std::{path::Path, time::Duration};

use cm_plan::judge;
use cm_rollout::Verdict;
use serde_json::Value;

use super::controller;

/// The exit status by which a command says that it cannot tell (sysexits.h: EX_TEMPFAIL).
const CANNOT_TELL: i32 = 75;
/// The largest body that is read.
const BODY: usize = 4 << 20;

/// A gate with its texts filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A command on the controller.
    Command(String),
    /// A page.
    Http {
        /// Its address.
        url: String,
        /// The wanted status.
        status: u16,
        /// A text that it must have.
        contains: Option<String>,
    },
    /// A query.
    Prometheus {
        /// The server.
        url: String,
        /// The query.
        query: String,
        /// What passes, over `value`.
        pass: String,
        /// What fails, over `value`.
        fail: Option<String>,
    },
}

/// Asks once.
pub async fn ask(question: Question, limit: Duration, folder: &Path) -> Verdict {
    match question {
        Question::Command(command) => {
            let ended = controller::run(&command, folder, limit).await;
            let why = format!("gate `{command}`: {}", ended.told());
            match ended.status {
                Some(0) => Verdict::Pass,
                Some(CANNOT_TELL) | None => Verdict::Inconclusive { why },
                Some(_) => Verdict::Fail { why },
            }
        }
        Question::Http { url, status, contains } => match fetch(url.clone(), limit).await {
            // Nobody there is the very failure that this gate is for.
            Err(why) => Verdict::Fail { why },
            Ok((got, _)) if got != status => {
                Verdict::Fail { why: format!("gate {url}: status {got} instead of {status}") }
            }
            Ok((_, body)) => match contains {
                Some(wanted) if !body.contains(&wanted) => {
                    Verdict::Fail { why: format!("gate {url}: it does not say {wanted:?}") }
                }
                _ => Verdict::Pass,
            },
        },
        Question::Prometheus { url, query, pass, fail } => {
            let address = format!("{}/api/v1/query?query={}", url.trim_end_matches('/'), encoded(&query));
            match fetch(address, limit).await {
                Err(why) => Verdict::Inconclusive { why },
                Ok((status, body)) => judged(status, &body, &query, &pass, fail.as_deref()),
            }
        }
    }
}

async fn fetch(url: String, limit: Duration) -> Result<(u16, String), String> {
    let shown = url.clone();
    let asked = tokio::task::spawn_blocking(move || {
        cm_fetch::get(&cm_fetch::Request { url: &url, headers: &[], timeout: limit, limit: BODY })
    });
    match asked.await {
        Ok(Ok(response)) => Ok((response.status, String::from_utf8_lossy(&response.body).into_owned())),
        Ok(Err(error)) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Err(format!("gate: {error}{cause}"))
        }
        Err(error) => Err(format!("gate {shown}: {error}")),
    }
}

/// What Prometheus' answer means; every sample of it must pass.
fn judged(status: u16, body: &str, query: &str, pass: &str, fail: Option<&str>) -> Verdict {
    let unknown = |why: String| Verdict::Inconclusive { why: format!("gate `{query}`: {why}") };
    let Ok(answer) = serde_json::from_str::<Value>(body) else {
        return unknown(format!("the server answers with status {status} and no JSON"));
    };
    if answer["status"] != "success" {
        return unknown(format!("the server says {}", answer["error"].as_str().unwrap_or("nothing of use")));
    }
    let result = &answer["data"]["result"];
    let samples: Vec<&Value> = match answer["data"]["resultType"].as_str() {
        Some("scalar") => vec![result],
        Some("vector") => result.as_array().into_iter().flatten().map(|sample| &sample["value"]).collect(),
        other => return unknown(format!("it gives a {}, not a number", other.unwrap_or("riddle"))),
    };
    if samples.is_empty() {
        return unknown("there is no data".to_owned());
    }
    let mut verdict = Verdict::Pass;
    for sample in samples {
        let Some(value) = sample[1].as_str().and_then(|text| text.parse::<f64>().ok()) else {
            return unknown(format!("{sample} is no number"));
        };
        if value.is_nan() {
            // What a share of nothing gives.
            verdict = unknown("there is no data (NaN)".to_owned());
            continue;
        }
        let judge = |expression: &str| judge(expression, value);
        let outcome = match (judge(pass), fail.map(judge)) {
            (Ok(true), None | Some(Ok(false))) => continue,
            (Ok(_), Some(Ok(true))) | (Ok(false), None) => {
                let why = format!("gate `{query}`: the value is {value}; it passes when {pass}");
                return Verdict::Fail { why };
            }
            (Ok(_), Some(Ok(false))) => unknown(format!("the value {value} neither passes nor fails")),
            (Err(error), _) | (_, Some(Err(error))) => unknown(error),
        };
        verdict = outcome;
    }
    verdict
}

/// As part of an address (RFC 3986: all but the unreserved characters).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(values: &[&str]) -> String {
        let samples: Vec<Value> =
            values.iter().map(|value| serde_json::json!({ "metric": {}, "value": [1, value] })).collect();
        serde_json::json!({ "status": "success", "data": { "resultType": "vector", "result": samples } })
            .to_string()
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Pass => "pass",
            Verdict::Fail { .. } => "fail",
            Verdict::Inconclusive { .. } => "inconclusive",
        }
    }

    #[test]
    fn samples_pass_fail_or_cannot_tell() {
        let cases: [(&[&str], Option<&str>, &str); 8] = [
            (&["0.001"], None, "pass"),
            (&["0.5"], None, "fail"),
            (&["0.5"], Some("value > 0.9"), "inconclusive"),
            (&["0.95"], Some("value > 0.9"), "fail"),
            (&["0.001", "0.95"], Some("value > 0.9"), "fail"),
            (&["0.5", "0.001"], Some("value > 0.9"), "inconclusive"),
            (&[], None, "inconclusive"),
            (&["NaN", "0.95"], Some("value > 0.9"), "fail"),
        ];
        for (values, fail, wanted) in cases {
            let verdict = judged(200, &vector(values), "errors", "value < 0.01", fail);
            assert_eq!(word(&verdict), wanted, "{values:?} {fail:?}: {verdict:?}");
        }
        for body in ["", "{}", "{\"status\":\"error\",\"error\":\"bad query\"}"] {
            assert_eq!(word(&judged(400, body, "q", "value < 1", None)), "inconclusive");
        }
        let scalar = "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"2\"]}}";
        assert_eq!(word(&judged(200, scalar, "q", "value == 2", None)), "pass");
    }

    #[tokio::test]
    async fn commands_pass_fail_or_cannot_tell() {
        for (command, wanted) in [("true", "pass"), ("exit 1", "fail"), ("exit 75", "inconclusive")] {
            let question = Question::Command(command.into());
            let verdict = ask(question, Duration::from_secs(60), Path::new("/")).await;
            assert_eq!(word(&verdict), wanted, "{command}");
        }
        let late =
            ask(Question::Command("sleep 600".into()), Duration::from_millis(100), Path::new("/")).await;
        assert_eq!(word(&late), "inconclusive");
    }

    #[tokio::test]
    async fn a_page_that_nobody_serves_fails_and_a_query_cannot_tell() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let http = Question::Http { url: url.clone(), status: 200, contains: None };
        let query = "sum(rate(x[1m])) / 2".to_owned();
        let prometheus = Question::Prometheus { url, query, pass: "value < 1".into(), fail: None };
        let limit = Duration::from_secs(30);
        assert_eq!(word(&ask(http, limit, Path::new("/")).await), "fail");
        assert_eq!(word(&ask(prometheus, limit, Path::new("/")).await), "inconclusive");
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(encoded("a{b=\"ü\"}+1"), "a%7Bb%3D%22%C3%BC%22%7D%2B1");
    }
}
