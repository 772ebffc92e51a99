//! Cases of `wait`: it changes nothing, and in apply alone it waits.

use crate::case::{Case, Cases, Where, at, file};

pub fn cases() -> Cases {
    let mut cases = Cases::of("wait");
    for param in ["port", "http", "file", "command", "state", "status", "within"] {
        cases = cases.without_drift(param, "says what is waited for; it manages nothing");
    }
    cases
        .case(
            Case::new("file", [("name", "a file".into()), ("file", at("mark")), ("within", "1s".into())])
                .before([file("mark", "", 0o600)])
                .at_rest(),
        )
        .case(
            Case::new(
                "no-file",
                [("name", "a file".into()), ("file", at("mark")), ("state", "absent".into())],
            )
            .at_rest(),
        )
        .case(
            Case::new("port", [("name", "ssh".into()), ("port", cm_wire::Value::Int(22))])
                .only([Where::Host])
                .at_rest(),
        )
        .case(
            Case::new("command", [("name", "it".into()), ("command", "test -d /etc".into())])
                .only([Where::Host])
                .at_rest(),
        )
}
