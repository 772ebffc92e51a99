//! Cases of `reboot`: it has no state of its own; real restarts are tried on hosts that nothing else uses.

use cm_wire::Notice;

use crate::case::{Case, Cases, Where, at, file};

pub fn cases() -> Cases {
    let named = || ("name", "new kernel".into());
    Cases::of("reboot")
        .case(
            Case::new(
                "required",
                [named(), ("policy", "required".into()), ("marker", at("reboot-required"))],
            )
            .fake()
            .before([file("reboot-required", "", 0o644)])
            .loose_drift(
                ["policy", "marker"],
                "restart",
                [file("reboot-required", "*** required\n", 0o644)],
            ),
        )
        .case(
            Case::new("not-required", [named(), ("marker", at("reboot-required"))])
                .only([Where::Fake, Where::Tree, Where::Host])
                .at_rest(),
        )
        .case(Case::new("changed", [named(), ("policy", "changed".into())]).fake().at_rest())
        .case(Case::new("asked", [named(), ("policy", "asked".into())]).fake().notice(Notice::Restart))
}
