//! Builds the agent for the machine `cm` is built for, statically, and packs it, so that one plain
//! `cargo build` gives a `cm` that carries its agent.
//!
//! `CM_AGENT_PROGRAM=FILE` uses a program that is already built instead; `CM_AGENT_PROGRAM=none` packs none
//! (for `cargo check` and editors: such a `cm` finds agents only in `agents/<arch>/cm-agent`).

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    println!("cargo::rerun-if-env-changed=CM_AGENT_PROGRAM");
    for part in [
        "agent/src",
        "agent/Cargo.toml",
        "modules/src",
        "modules/Cargo.toml",
        "wire/src",
        "wire/Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    let program = match env::var("CM_AGENT_PROGRAM").as_deref() {
        Ok("none") => Vec::new(),
        Ok(file) => {
            println!("cargo::rerun-if-changed={file}");
            fs::read(file).unwrap_or_else(|error| panic!("CM_AGENT_PROGRAM={file}: {error}"))
        }
        Err(_) => build(&root, &out),
    };
    let digest = blake3::hash(&program).to_string();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&program).expect("memory can be written");
    let packed = packer.finish().expect("memory can be written");
    fs::write(out.join("cm-agent.gz"), packed).expect("OUT_DIR can be written");
    println!("cargo::rustc-env=CM_AGENT_DIGEST={}", if program.is_empty() { "" } else { &digest });
    println!("cargo::rustc-env=CM_AGENT_SIZE={}", program.len());
    println!("cargo::rustc-env=CM_AGENT_ARCH={}", env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it"));
}

fn build(root: &Path, out: &Path) -> Vec<u8> {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let profile = if env::var("PROFILE").as_deref() == Ok("release") { "agent" } else { "agent-dev" };
    // Beside the outer build's own folder: <target>/<profile>/build/<package>/out. A folder of its own,
    // because the outer build holds the lock of the other.
    let folder = out.ancestors().nth(4).unwrap_or(out).join("cm-agent");
    let cargo = env::var_os("CARGO").expect("cargo sets CARGO");
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["build", "--quiet", "--package", "cm-agent", "--profile", profile, "--target", &target])
        .arg("--target-dir")
        .arg(&folder)
        // Static without touching the flags of build scripts and macros: those are of the host's kind.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_FEATURE_")
            || text.starts_with("CARGO_CFG_")
            || text == "RUSTFLAGS"
            || text == "CARGO_BUILD_TARGET"
        {
            command.env_remove(&name);
        }
    }
    let status = command.status().expect("cargo can be started");
    assert!(status.success(), "the agent does not build; see above");
    let program = folder.join(&target).join(profile).join("cm-agent");
    fs::read(&program).unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}
