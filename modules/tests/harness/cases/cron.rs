//! Cases of `cron`.

use cm_wire::Value;

use crate::case::{Case, Cases, Where, directory, file, gone, has_mode, holds, mode, owner, remove};

pub fn cases() -> Cases {
    let daily = "/etc/cron.d/cm-harness-daily";
    let fields = "/etc/cron.d/cm_harness_FIELDS";
    let old = "/etc/cron.d/cm-harness-old";
    let daily_text = "# Managed by cm.\nMAILTO=\"\"\n@daily daemon test -e '/a b' && date +\\%s\n";
    let fields_text = "# Managed by cm.\n*/5 8-18 1 jan-jun mon root true\n";
    let prepared = directory("/etc/cron.d", 0o755);
    Cases::of("cron")
        .case(
            Case::new(
                "daily",
                [
                    ("name", "cm-harness-daily".into()),
                    ("schedule", "@daily".into()),
                    ("user", "daemon".into()),
                    ("command", "test -e '/a b' && date +\\%s".into()),
                    ("env", Value::Map([("MAILTO".to_owned(), "".into())].into())),
                    ("state", "present".into()),
                ],
            )
            .before([prepared.clone(), crate::case::user("daemon", Default::default())])
            .only([Where::Fake, Where::Host])
            .ends([holds(daily, daily_text), has_mode(daily, 0o644)])
            .drift(
                ["schedule", "user", "command", "env"],
                "content",
                [file(daily, daily_text.replace("daily", "hourly"), 0o644)],
            )
            .drift(["state"], "state", [remove(daily)])
            .drift(["state"], "mode", [mode(daily, 0o600)])
            .drift(["state"], "owner", [owner(daily, 1, 0)]),
        )
        .case(
            Case::new(
                "fields",
                [
                    ("name", "cm_harness_FIELDS".into()),
                    ("minute", "*/5".into()),
                    ("hour", "8-18".into()),
                    ("day", Value::Int(1)),
                    ("month", "jan-jun".into()),
                    ("weekday", "mon".into()),
                    ("command", "true".into()),
                ],
            )
            .before([prepared.clone(), crate::case::user("root", Default::default())])
            .only([Where::Fake, Where::Host])
            .ends([holds(fields, fields_text)])
            .drift(
                ["minute", "hour", "day", "month", "weekday"],
                "content",
                [file(fields, "# Managed by cm.\n* * * * * root true\n", 0o644)],
            ),
        )
        .case(
            Case::new("absent", [("name", "cm-harness-old".into()), ("state", "absent".into())])
                .before([prepared, file(old, b"* * * * * root \xff\n", 0o600)])
                .only([Where::Fake, Where::Host])
                .ends([gone(old)])
                .drift(["state"], "state", [file(old, "", 0o644)]),
        )
}
