//! Cases of `package`.

use crate::case::{Act, Case, Cases, Where, has_package, install, offer};

pub fn cases() -> Cases {
    let lib = || offer("cm-lab-lib", ["2.0", "1.0"]);
    let tool = || offer("tool", ["1.24.1", "1.24.0", "1.22.0"]);
    Cases::of("package")
        .without_drift("recommends", "says what else is installed with it")
        .without_drift("max_age", "says how old the index may be")
        .case(
            Case::new("present", [("name", "cm-lab-lib".into()), ("state", "present".into())])
                .only([Where::Fake, Where::Host])
                .before([lib()])
                .ends([has_package("cm-lab-lib", true)])
                .drift(["state"], "state", [Act::Purge("cm-lab-lib".into())]),
        )
        .case(
            Case::new(
                "version",
                [("name", "tool".into()), ("version", "1.24.0*".into()), ("recommends", false.into())],
            )
            .fake()
            .before([tool(), install("tool", Some("1.22.0"))])
            .drift(["version"], "version", [install("tool", Some("1.24.1"))]),
        )
        .case(
            Case::new("held", [("name", "tool".into()), ("held", true.into())])
                .fake()
                .before([tool()])
                .drift(["held"], "held", [Act::Hold("tool".into(), false)]),
        )
        .case(
            Case::new(
                "latest",
                [("name", "tool".into()), ("state", "latest".into()), ("max_age", "1d".into())],
            )
            .fake()
            .before([tool(), install("tool", Some("1.22.0"))])
            .drift(["state"], "version", [install("tool", Some("1.24.0"))])
            .drift(["state"], "state", [Act::Purge("tool".into())]),
        )
        .case(
            Case::new("absent", [("name", "tool".into()), ("state", "absent".into())])
                .fake()
                .before([tool(), install("tool", None)])
                .ends([has_package("tool", false)])
                .drift(["state"], "state", [install("tool", None)]),
        )
        .case(
            Case::new("purged", [("name", "tool".into()), ("state", "purged".into())])
                .fake()
                .before([tool(), install("tool", Some("1.24.0"))])
                .ends([has_package("tool", false)])
                .drift(["state"], "state", [install("tool", None)]),
        )
}
