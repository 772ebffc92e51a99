//! Damaged answers of modules' programs: an answer that says the same when it is written again, or an error.

use cm_fuzz::{Target, answer, fuzz};
use cm_modules::custom::{Verb, read_answer};

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-0",
    "1e308",
    "9223372036854775808",
    "\"differs\"",
    "\"attribute\"",
    "\"before\"",
    "\"after\"",
    "\"diff\"",
    "\"state\"",
    "\"message\"",
    "\"error\"",
    "\"hint\"",
];

#[test]
fn answers_of_modules() {
    let seeds = [
        r#"{"differs": [{"attribute": "value", "before": null, "after": "a\nb", "diff": null}], "state": {"a": [1, -0.5, true, "ü\ud83d\ude00"]}, "message": "m"}"#,
        r#"{"differs": [{"attribute": "text", "before": "a\nb\n", "after": "a\nc\n"}]}"#,
        r#"{"error": "no", "hint": "do"}"#,
        r#"{"message": "done"}"#,
    ];
    let target = seeds.into_iter().fold(Target::new("module-answer", WORDS), Target::seed);
    fuzz(target, |input| {
        let text = String::from_utf8_lossy(input);
        let mut said = String::new();
        for verb in [Verb::Look, Verb::Change, Verb::Undo] {
            let read = read_answer(verb, &text);
            if let Ok(Ok(answer)) = &read {
                assert!(answer.changes.iter().all(|change| !change.attribute.is_empty()));
                if let Some(state) = &answer.state {
                    // What the journal keeps is read again as what it was.
                    let again = read_answer(Verb::Look, &format!("{{\"differs\":[],\"state\":{state}}}"));
                    assert_eq!(again.unwrap().unwrap().state.as_ref(), Some(state));
                }
            }
            said.push_str(&match read {
                Err(error) => error.split('"').step_by(2).collect(),
                Ok(Err(refused)) => format!("refused {}", refused.hint.is_some()),
                Ok(Ok(answer)) => {
                    format!("{} {:?}", answer.changes.len().min(3), answer.state.map(|s| s.len().min(4)))
                }
            });
        }
        answer(&said)
    });
}
