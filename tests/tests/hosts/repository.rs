//! repository: a signed source of packages, its key, its drift and its end, with packages that only it has.

use std::{fs, path::Path, process::Command};

use cm_tests::{Hosts, Repository, hosts};

/// Runs a shell script here and gives what it prints.
fn run(folder: &Path, script: &str) -> String {
    let ran = Command::new("sh").args(["-euc", script]).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Makes a flat repository with one version of the package `cm-own-tool`, signed by the key in `key`.
fn flat_repository(folder: &Path, version: &str, key: &str) {
    fs::create_dir_all(folder).unwrap();
    run(
        folder,
        &format!(
            r#"
            mkdir -p build/DEBIAN ../{key}
            chmod 700 ../{key}
            printf 'Package: cm-own-tool\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n' > build/DEBIAN/control
            dpkg-deb --root-owner-group -b build cm-own-tool_{version}_all.deb >/dev/null
            rm -r build
            {{
                dpkg-deb -f cm-own-tool_{version}_all.deb
                echo "Filename: ./cm-own-tool_{version}_all.deb"
                echo "Size: $(stat -c %s cm-own-tool_{version}_all.deb)"
                echo "SHA256: $(sha256sum cm-own-tool_{version}_all.deb | cut -d' ' -f1)"
                echo
            }} > Packages
            {{
                echo "Origin: cm"
                echo "Date: $(LANG=C date -u '+%a, %d %b %Y %H:%M:%S UTC')"
                echo "SHA256:"
                echo " $(sha256sum Packages | cut -d' ' -f1) $(stat -c %s Packages) Packages"
            }} > Release
            export GNUPGHOME="$(realpath ../{key})"
            test -e "$GNUPGHOME/made" || gpg -q --batch --passphrase '' --quick-gen-key '{key} <x@example.org>' rsa3072 sign 2>/dev/null
            touch "$GNUPGHOME/made"
            gpg -q --batch --yes --clearsign -o InRelease Release
            gpg -q --batch --armor --export > ../{key}.asc
            gpg -q --batch --export > ../{key}.gpg
            gpgconf --kill all
            "#
        ),
    );
}

/// A role whose files hold the repository, and its key in both forms.
fn with_repository(repository: &Repository, role: &str, version: &str, tasks: &str) {
    let files = repository.folder().join(format!("roles/{role}/files"));
    flat_repository(&files.join("packages"), version, "key");
    // The private key is none of the role's files.
    fs::remove_dir_all(files.join("key")).unwrap();
    repository.role(role, &format!("tasks:\n  - tree: /srv/{role}\n    source: packages\n{tasks}"));
}

const TOOL: &str = "dpkg-query -W -f '${Version}' cm-own-tool 2>/dev/null || true";

#[test]
fn a_signed_source_brings_a_package_that_only_it_has() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    with_repository(
        &repository,
        "signed",
        "1.0",
        "  - repository: cm-signed\n    url: file:/srv/signed\n    suites: ./\n    key_source: key.asc\n    needs: tree:/srv/signed\n  - package: cm-own-tool\n",
    );
    // The plan foresees a package that no index knows yet.
    let changed = repository.converges("signed on releases");
    assert!(changed.iter().any(|task| task.task == "package:cm-own-tool"), "{changed:#?}");
    for host in Hosts::RELEASES {
        assert_eq!(hosts.sh(host, TOOL), "1.0", "on {host}");
        let sources = hosts.sh(host, "cat /etc/apt/sources.list.d/cm-signed.sources");
        assert!(sources.contains("Signed-By: /etc/apt/keyrings/cm-signed.asc\n"), "{sources}");
        hosts.sh(
            host,
            "rm /etc/apt/keyrings/cm-signed.asc; echo '# x' >> /etc/apt/sources.list.d/cm-signed.sources",
        );
    }
    let found = repository.mends("signed on releases");
    assert_eq!(found.len(), 3, "{found:#?}");
    // The same key in its binary form takes the place of the armored one.
    let role = fs::read_to_string(repository.folder().join("roles/signed/role.yaml")).unwrap();
    repository.role("signed", &role.replace("key.asc", "key.gpg"));
    repository.converges("signed on releases");
    let keyrings = "test -e /etc/apt/keyrings/cm-signed.gpg && ! test -e /etc/apt/keyrings/cm-signed.asc";
    assert!(hosts.holds("d11", keyrings));
    // A newer version in a source that comes in the same run: nobody can know it before.
    with_repository(
        &repository,
        "newer",
        "2.0",
        "  - repository: cm-newer\n    url: file:/srv/newer\n    suites: ./\n    trusted: true\n    needs: tree:/srv/newer\n  - package: cm-own-tool\n    state: latest\n",
    );
    repository.converges("newer on releases");
    for host in Hosts::RELEASES {
        assert_eq!(hosts.sh(host, TOOL), "2.0", "on {host}");
    }
    repository.role(
        "gone",
        "tasks:\n  - repository: [cm-signed, cm-newer]\n    state: absent\n  - package: cm-own-tool\n    state: purged\n",
    );
    repository.converges("gone on releases");
    for host in Hosts::RELEASES {
        assert!(
            !hosts.holds(host, "ls /etc/apt/sources.list.d /etc/apt/keyrings | grep -E 'cm-(signed|newer)'")
        );
        hosts.sh(host, "rm -r /srv/signed /srv/newer");
    }
}

#[test]
fn a_source_that_its_key_does_not_sign_is_not_believed() {
    let Some(hosts) = hosts() else { return };
    let repository = Repository::over(hosts);
    with_repository(
        &repository,
        "forged",
        "1.0",
        "  - repository: cm-forged\n    url: file:/srv/forged\n    suites: ./\n    key_source: wrong.asc\n    needs: tree:/srv/forged\n  - package: cm-own-tool\n",
    );
    let files = repository.folder().join("roles/forged/files");
    let elsewhere = repository.folder().join("elsewhere");
    flat_repository(&elsewhere.join("packages"), "1.0", "wrong");
    fs::copy(elsewhere.join("wrong.asc"), files.join("wrong.asc")).unwrap();
    let ran = repository.cm("apply forged on e12").exits(3);
    let _ = ran.says(&["`package:cm-own-tool` failed on `e12`", "cm-own-tool", "is not signed"]);
    hosts.sh("e12", "rm -r /srv/forged /etc/apt/sources.list.d/cm-forged.sources /etc/apt/keyrings/cm-forged.asc; apt-get -qq update");
}
