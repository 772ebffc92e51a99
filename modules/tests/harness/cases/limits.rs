//! Cases of `limits`.

use cm_wire::Value;

use crate::case::{Case, Cases, Where, directory, file, gone, has_mode, holds, mode, remove};

pub fn cases() -> Cases {
    let all = "/etc/security/limits.d/60-cm-nofile-both-%2A.conf";
    let group = "/etc/security/limits.d/60-cm-nproc-hard-@cm-harness.conf";
    let prepared = directory("/etc/security/limits.d", 0o755);
    Cases::of("limits")
        .without_drift("item", "a part of the file's name: another item is another file")
        .without_drift("type", "a part of the file's name: another type is another file")
        .case(
            Case::new(
                "all",
                [
                    ("domain", "*".into()),
                    ("item", "nofile".into()),
                    ("value", Value::Int(65536)),
                    ("state", "present".into()),
                ],
            )
            .before([prepared.clone()])
            .only([Where::Fake, Where::Host])
            .ends([holds(all, "# Managed by cm.\n* - nofile 65536\n"), has_mode(all, 0o644)])
            .drift(["value"], "content", [file(all, "# Managed by cm.\n* - nofile 1024\n", 0o644)])
            .drift(["state"], "state", [remove(all)])
            .drift(["state"], "mode", [mode(all, 0o600)]),
        )
        .case(
            Case::new(
                "absent",
                [
                    ("domain", "@cm-harness".into()),
                    ("item", "nproc".into()),
                    ("type", "hard".into()),
                    ("state", "absent".into()),
                ],
            )
            .before([prepared, file(group, "@cm-harness hard nproc 1\n", 0o644)])
            .only([Where::Fake, Where::Host])
            .ends([gone(group)])
            .drift(["state"], "state", [file(group, "", 0o644)]),
        )
}
