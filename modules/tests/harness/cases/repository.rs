//! Cases of `repository`.

use cm_wire::Value;

use crate::case::{Case, Cases, Where, content, directory, file, gone, has_mode, holds, mode, owner, remove};

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END PGP PUBLIC KEY BLOCK-----\n";

fn list(words: &[&str]) -> Value {
    Value::List(words.iter().map(|&word| word.into()).collect())
}

pub fn cases() -> Cases {
    let signed = "/etc/apt/sources.list.d/cm-harness-signed.sources";
    let signed_text = "Types: deb\nURIs: https://one.example.org/debian https://two.example.org/debian\n\
                       Suites: bookworm\nComponents: main extra\nArchitectures: amd64\n\
                       Signed-By: /etc/apt/keyrings/cm-harness-signed.asc\nEnabled: no\n";
    let key = "/etc/apt/keyrings/cm-harness-signed.asc";
    let flat = "/etc/apt/sources.list.d/cm-harness-flat.sources";
    let binary = "/etc/apt/keyrings/cm-harness-binary.gpg";
    let binary_sources = "/etc/apt/sources.list.d/cm-harness-binary.sources";
    let old = "/etc/apt/sources.list.d/cm-harness-old.sources";
    let old_key = "/etc/apt/keyrings/cm-harness-old.asc";
    let url = "https://one.example.org/debian";
    Cases::of("repository")
        .without_drift("description", "is dnf's and zypper's")
        .case(
            // Kept out of use: other cases of the same host must not wait for its mirrors.
            Case::new(
                "signed",
                [
                    ("name", "cm-harness-signed".into()),
                    ("url", list(&[url, "https://two.example.org/debian"])),
                    ("suites", "bookworm".into()),
                    ("components", list(&["main", "extra"])),
                    ("types", "deb".into()),
                    ("architectures", "amd64".into()),
                    ("key", KEY.into()),
                    ("enabled", false.into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([directory("/etc/apt/sources.list.d", 0o755)])
            .ends([holds(signed, signed_text), holds(key, KEY), has_mode(key, 0o644)])
            .drift(
                ["url", "suites", "components", "types", "architectures", "enabled"],
                "content",
                [file(signed, "Types: deb-src\nEnabled: no\n", 0o644)],
            )
            .drift(["state"], "state", [remove(signed)])
            .drift([], "mode", [mode(signed, 0o600)])
            .drift([], "owner", [owner(signed, 1, 0)])
            .drift(["key"], "key", [file(key, "of somebody else\n", 0o644)])
            .drift(["key"], "key", [remove(key)])
            .drift(["key"], "key mode", [mode(key, 0o600)])
            .drift(["key"], "key owner", [owner(key, 1, 0)]),
        )
        .case(
            Case::new(
                "flat",
                [
                    ("name", "cm-harness-flat".into()),
                    ("url", "file:/srv/nowhere".into()),
                    ("suites", "./".into()),
                    ("trusted", true.into()),
                    ("enabled", false.into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([directory("/etc/apt/sources.list.d", 0o755)])
            .ends([holds(
                flat,
                "Types: deb\nURIs: file:/srv/nowhere\nSuites: ./\nTrusted: yes\nEnabled: no\n",
            )])
            .drift(["trusted"], "content", [file(flat, "Types: deb\nEnabled: no\n", 0o644)]),
        )
        .case(
            Case::new(
                "binary",
                [
                    ("name", "cm-harness-binary".into()),
                    ("url", url.into()),
                    ("suites", "bookworm".into()),
                    ("components", "main".into()),
                    ("key_source", content(b"\x98\x33\x04\x00")),
                    ("enabled", false.into()),
                ],
            )
            .only([Where::Fake, Where::Host])
            .before([file("/etc/apt/keyrings/cm-harness-binary.asc", KEY, 0o644)])
            .ends([holds(binary, b"\x98\x33\x04\x00"), gone("/etc/apt/keyrings/cm-harness-binary.asc")])
            .drift(["key_source"], "key", [file(binary, "x", 0o644)])
            .drift(["key_source"], "key", [file("/etc/apt/keyrings/cm-harness-binary.asc", KEY, 0o644)])
            .drift(["state"], "state", [remove(binary_sources)]),
        )
        .case(
            Case::new("old", [("name", "cm-harness-old".into()), ("state", "absent".into())])
                .only([Where::Fake, Where::Host])
                .before([file(old, "Types: deb\nEnabled: no\n", 0o644), file(old_key, KEY, 0o644)])
                .ends([gone(old), gone(old_key)])
                .drift(["state"], "state", [file(old, "Types: deb\nEnabled: no\n", 0o644)])
                .drift(["state"], "key", [file(old_key, KEY, 0o644)]),
        )
}
