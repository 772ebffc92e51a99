//! Cases of `command`: what it promises is its guards'; it has no state of its own.

use cm_modules::node::{Attributes, Content};
use cm_wire::Output;

use crate::case::{BASE, Case, Cases, Where, at, file, holds, list, remove};

pub fn cases() -> Cases {
    let undo = "nobody knows what a command changes";
    let mut cases = Cases::of("command");
    for param in [
        "argv",
        "unless",
        "only_if",
        "changed_when",
        "failed_when",
        "status",
        "cwd",
        "env",
        "stdin",
        "parallel",
    ] {
        cases = cases.without_drift(param, "says whether and how it runs; nothing on the node is it");
    }
    cases
        .case(
            Case::new(
                "creates",
                [("command", format!("echo made > '{BASE}/mark'").into()), ("creates", at("mark"))],
            )
            .only([Where::Fake, Where::Tree, Where::Host])
            .plain_names("the line is one of the shell, quoted by whoever writes it")
            .programs(|node, _| {
                let path = "/srv/case/mark".as_ref();
                let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
                node.write(path, &Content::Bytes(b"made\n".to_vec()), attributes, None)?.unwrap();
                Ok(cm_modules::node::Finished { output: Output::default(), timed_out: false })
            })
            .ends([holds("mark", "made\n")])
            .no_undo(undo)
            .drift(["creates"], "run", [remove("mark")]),
        )
        .case(
            Case::new("removes", [("command", format!("rm '{BASE}/mark'").into()), ("removes", at("mark"))])
                .only([Where::Tree, Where::Host])
                .plain_names("the line is one of the shell, quoted by whoever writes it")
                .before([file("mark", "x", 0o600)])
                .no_undo(undo)
                .drift(["removes"], "run", [file("mark", "y", 0o644)]),
        )
        .case(
            Case::new(
                "words",
                [
                    ("command", "words".into()),
                    ("argv", list(["/bin/sh", "-c", "cat > \"$NAME\"; echo did; exit 3"])),
                    ("stdin", "it's \"input\"\n$(x)\n".into()),
                    ("env", cm_wire::Value::Map([("NAME".to_owned(), "a 'b' \"c\"".into())].into())),
                    ("cwd", cm_wire::Value::from(BASE)),
                    ("status", cm_wire::Value::Int(3)),
                    ("changed_when", "'did' in stdout".into()),
                    ("failed_when", "status == 4".into()),
                    ("unless", format!("test -e \"{BASE}/a 'b' \\\"c\\\"\"").into()),
                    ("only_if", "true".into()),
                    ("parallel", true.into()),
                ],
            )
            .only([Where::Host])
            .plain_names("the line is one of the shell, quoted by whoever writes it")
            .ends([holds("a 'b' \"c\"", "it's \"input\"\n$(x)\n")])
            .no_undo(undo),
        )
}
