//! Cases of `archive`. What was unpacked is remembered outside of a case's folder, so none runs in a directory
//! of this machine.

use cm_wire::Value;

use crate::case::{
    BASE, Case, Cases, Where, at, content, file, has_mode, has_owner, holds, leads_to, link, mode, owner,
    remove,
};

/// A tar archive: `dir/`, `name*` executable, `name -> target`.
fn tar(members: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in members {
        let arrow = name.windows(4).position(|window| window == b" -> ");
        let (name, mode, kind, target): (&[u8], u32, u8, &[u8]) = match (name, arrow) {
            (_, Some(at)) => (&name[..at], 0o777, b'2', &name[at + 4..]),
            ([name @ .., b'*'], _) => (name, 0o755, b'0', b""),
            ([.., b'/'], _) => (name, 0o755, b'5', b""),
            _ => (name, 0o644, b'0', b""),
        };
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name);
        put(100, format!("{mode:07o}").as_bytes());
        put(124, format!("{:011o}", content.len()).as_bytes());
        put(148, b"        ");
        put(156, &[kind]);
        put(157, target);
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend(block);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn app() -> Vec<u8> {
    tar(&[
        (b"app/", b""),
        (b"app/bin/run*", b"#!/bin/sh\n"),
        (b"app/etc/app.conf", b"port 1\n"),
        (b"app/current -> bin/run", b""),
        (b"app/a \"b\" 'c'", b"quoted\n"),
        (b"app/new\nline", b"y"),
    ])
}

/// Of [`app`].
const SUM: &str = "md5:1cbe626aa5e69217e0f4a97f92880c79";

pub fn cases() -> Cases {
    Cases::of("archive")
        .without_drift("headers", "says how to ask")
        .without_drift("strip", "says where members belong")
        .case(
            Case::new(
                "role",
                [
                    ("destination", at("deep/app")),
                    ("source", content(app())),
                    ("strip", Value::Int(1)),
                    ("file_mode", "0640".into()),
                    ("dir_mode", "0750".into()),
                    ("owner", "1".into()),
                    ("group", "2".into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .ends([
                holds("deep/app/etc/app.conf", "port 1\n"),
                holds("deep/app/a \"b\" 'c'", "quoted\n"),
                leads_to("deep/app/current", "bin/run"),
                has_mode("deep/app/bin/run", 0o750),
                has_mode("deep/app/bin", 0o750),
                has_owner("deep/app/new\nline", 1, 2),
            ])
            .drift(["source"], "state", [remove("deep/app")])
            .drift(["source"], "etc/app.conf", [file("deep/app/etc/app.conf", "x", 0o640)])
            .drift(["source"], "current", [link("deep/app/current", "bin")])
            .drift(["file_mode"], "new\\nline mode", [mode("deep/app/new\nline", 0o600)])
            .drift(["dir_mode"], "bin mode", [mode("deep/app/bin", 0o700)])
            .drift(["owner"], "bin/run owner", [owner("deep/app/bin/run", 0, 2)])
            .drift(["group"], "bin group", [owner("deep/app/bin", 1, 0)]),
        )
        .case(
            Case::new("node", [("destination", at("app")), ("path", at("app.tar"))])
                .only([Where::Fake, Where::Host])
                .before([
                    file("app.tar", app(), 0o600),
                    file("app/app/etc/app.conf", "of another time\n", 0o4600),
                    file("app/own", "stays\n", 0o600),
                ])
                .ends([
                    holds("app/app/etc/app.conf", "port 1\n"),
                    has_mode("app/app/etc/app.conf", 0o644),
                    holds("app/own", "stays\n"),
                ])
                .drift(["path"], "app/bin/run", [remove("app/app/bin/run")]),
        )
        .case(
            Case::new(
                "server",
                [
                    ("destination", at("app")),
                    ("url", format!("file://{BASE}/app.tar").as_str().into()),
                    ("checksum", SUM.into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([file("app.tar", app(), 0o600)])
            .ends([holds("app/app/bin/run", "#!/bin/sh\n")])
            .drift(["url", "checksum"], "app/bin/run", [file("app/app/bin/run", "x", 0o755)]),
        )
        .case(
            Case::new(
                "unchecked",
                [
                    ("destination", at("app")),
                    ("url", format!("file://{BASE}/app.tar").as_str().into()),
                    ("unchecked", true.into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([file("app.tar", app(), 0o600)])
            .drift(["unchecked"], "app/bin/run mode", [mode("app/app/bin/run", 0o600)]),
        )
}
