//! Cases of `service`.

use cm_modules::node::UnitAction;
use cm_wire::Notice;

use crate::case::{Case, Cases, Where, file, manage, path, unit_is};

const TEXT: &str = "[Service]\nExecStart=/bin/sleep 1000000\nExecReload=/bin/true\n\n[Install]\nWantedBy=multi-user.target\n";

/// A unit that the lab's hosts do not have.
fn unit(name: &str) -> crate::case::Act {
    let path = path("/etc/systemd/system").join(name);
    file(path.into_os_string().into_encoded_bytes(), TEXT, 0o644)
}

pub fn cases() -> Cases {
    Cases::of("service")
        .without_drift("settle", "says how long it is watched")
        .case(
            Case::new(
                "running",
                [
                    ("name", "cm-h-run".into()),
                    ("state", "running".into()),
                    ("enabled", true.into()),
                    ("settle", "10ms".into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([unit("cm-h-run.service")])
            .ends(unit_is("cm-h-run.service", "active", "enabled"))
            .drift(["state"], "state", [manage("cm-h-run.service", UnitAction::Stop)])
            .drift(["enabled"], "enabled", [manage("cm-h-run.service", UnitAction::Disable)]),
        )
        .case(
            Case::new(
                "stopped",
                [("name", "cm-h-stop".into()), ("state", "stopped".into()), ("enabled", false.into())],
            )
            .only([Where::Fake, Where::Host])
            .before([
                unit("cm-h-stop.service"),
                manage("cm-h-stop.service", UnitAction::Enable),
                manage("cm-h-stop.service", UnitAction::Start),
            ])
            .ends(unit_is("cm-h-stop.service", "inactive", "disabled"))
            .drift(["state"], "state", [manage("cm-h-stop.service", UnitAction::Start)])
            .drift(["enabled"], "enabled", [manage("cm-h-stop.service", UnitAction::Enable)]),
        )
        .case(
            Case::new(
                "masked",
                [("name", "apt-daily.timer".into()), ("state", "stopped".into()), ("masked", true.into())],
            )
            .fake()
            .before([file(
                "/lib/systemd/system/apt-daily.timer",
                "[Timer]\n\n[Install]\nWantedBy=timers.target\n",
                0o644,
            )])
            .drift(["masked"], "masked", [manage("apt-daily.timer", UnitAction::Unmask)]),
        )
        .case(
            Case::new("unmasked", [("name", "cm-h-open".into()), ("masked", false.into())])
                .fake()
                .before([
                    file("/lib/systemd/system/cm-h-open.service", TEXT, 0o644),
                    manage("cm-h-open.service", UnitAction::Mask),
                ])
                .drift(["masked"], "masked", [manage("cm-h-open.service", UnitAction::Mask)]),
        )
        .case(
            Case::new("restarted", [("name", "cm-h-again".into()), ("settle", "10ms".into())])
                .fake()
                .before([unit("cm-h-again.service"), manage("cm-h-again.service", UnitAction::Start)])
                .notice(Notice::Restart)
                .ends([]),
        )
}
