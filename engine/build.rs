//! Builds the agent for the machine `cm` is built for, statically, and packs it, so that one plain
//! `cargo build` gives a `cm` that carries its agent.
//!
//! `CM_AGENT_PROGRAM=FILE` uses a program that is already built instead; `CM_AGENT_PROGRAM=none` packs none
//! (for `cargo check` and editors: such a `cm` finds agents only in `agents/<arch>/cm-agent`).
//!
//! `CM_AGENT_SMALLEST=1` makes a release's agent half as large. It takes what a plain toolchain lacks:
//! `rustup target add x86_64-unknown-linux-musl` and `rustup component add rust-src`.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use lzma_rust2::{CheckType, XzOptions, XzWriter, filter::FilterType};

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
        "engine/agent.ld",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    let recipe = Recipe::of_this_build();
    let mut name = "";
    let program = match env::var("CM_AGENT_PROGRAM").as_deref() {
        Ok("none") => Vec::new(),
        Ok(file) => {
            println!("cargo::rerun-if-changed={file}");
            fs::read(file).unwrap_or_else(|error| panic!("CM_AGENT_PROGRAM={file}: {error}"))
        }
        Err(_) => {
            name = recipe.name();
            build(&root, &out, &recipe)
        }
    };
    let digest = blake3::hash(&program).to_string();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&program).expect("memory can be written");
    let packed = packer.finish().expect("memory can be written");
    fs::write(out.join("cm-agent.gz"), packed).expect("OUT_DIR can be written");
    fs::write(out.join("cm-agent.xz"), pack_tight(&program)).expect("OUT_DIR can be written");
    fs::write(out.join("cm-agent.deb"), debian_package(&program)).expect("OUT_DIR can be written");
    println!("cargo::rustc-env=CM_AGENT_DIGEST={}", if program.is_empty() { "" } else { &digest });
    println!("cargo::rustc-env=CM_AGENT_PROFILE={name}");
    println!("cargo::rustc-env=CM_AGENT_SIZE={}", program.len());
    println!("cargo::rustc-env=CM_AGENT_ARCH={}", env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it"));
}

/// Packs as xz, so that what has 8 MB of memory can unpack it.
fn pack_tight(program: &[u8]) -> Vec<u8> {
    let released = env::var("PROFILE").as_deref() == Ok("release");
    let mut options = XzOptions::with_preset(if released { 9 } else { 1 });
    options.lzma_options.dict_size = 4 << 20;
    // What suits machine code: bytes tell more by the one before them than by where they stand.
    options.lzma_options.lc = 4;
    options.lzma_options.lp = 0;
    options.lzma_options.pb = 1;
    options.lzma_options.nice_len = 273;
    options.set_check_sum_type(CheckType::Crc32);
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("x86_64") {
        options.prepend_pre_filter(FilterType::BcjX86, 0);
    }
    let mut packer = XzWriter::new(Vec::new(), options).expect("the options are valid");
    packer.write_all(program).expect("memory can be written");
    packer.finish().expect("memory can be written")
}

/// As a Debian package of one file (deb(5)): dpkg unpacks xz without the program of that name, which a small
/// Debian does not have. Nobody installs it, so it has nothing to say of itself.
fn debian_package(program: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut archive = tar_header(program.len()).to_vec();
    archive.extend(program);
    // To the end of the block, and two empty ones for the end of the archive.
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    let mut package = b"!<arch>\n".to_vec();
    let members: [(&str, &[u8]); 3] = [
        ("debian-binary", b"2.0\n"),
        ("control.tar", &[0; 2 * BLOCK]),
        ("data.tar.xz", &pack_tight(&archive)),
    ];
    for (name, bytes) in members {
        package.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len()).bytes(),
        );
        package.extend(bytes);
        package.resize(package.len().next_multiple_of(2), b'\n');
    }
    package
}

/// The header of a file of this size in an archive (tar(5), "POSIX ustar Archives").
fn tar_header(size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "cm-agent");
    put(100, "0000700\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    // The checksum is that of a header with blanks in its place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// How the agent is built.
struct Recipe {
    /// The profile of the workspace's Cargo.toml.
    profile: &'static str,
    /// Whether with a small C library and a standard library compiled for size: `CM_AGENT_SMALLEST`.
    smallest: bool,
}

impl Recipe {
    fn of_this_build() -> Self {
        println!("cargo::rerun-if-env-changed=CM_AGENT_SMALLEST");
        let released = env::var("PROFILE").as_deref() == Ok("release");
        Self {
            profile: if released { "agent" } else { "agent-dev" },
            smallest: released && env::var_os("CM_AGENT_SMALLEST").is_some_and(|value| value == "1"),
        }
    }

    /// What it is called where limits of its size are tried.
    fn name(&self) -> &'static str {
        if self.smallest { "smallest" } else { self.profile }
    }

    fn target(&self) -> String {
        let target = env::var("TARGET").expect("cargo sets TARGET");
        if self.smallest { target.replace("-gnu", "-musl") } else { target }
    }

    /// Static without touching the flags of build scripts and macros: those are of the host's kind.
    fn flags(&self, root: &Path) -> String {
        let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
        if self.profile == "agent" {
            flags.push("-Cforce-unwind-tables=no".into());
            // At a fixed address nothing is left to relocate at each start, and a twentieth less travels.
            flags.push("-Crelocation-model=static".into());
            // What agent/src/absent.rs tells absent is so, whatever else this version of the C library puts beside it.
            flags.push("-Clink-arg=-Wl,-z,muldefs".into());
            if let Some(linker) = lld() {
                flags.push(format!("-Clink-arg=-B{}", linker.display()));
                flags.push("-Clink-arg=-fuse-ld=lld".into());
                flags.push("-Clink-arg=-Wl,--icf=all,-O2,--build-id=none,--no-eh-frame-hdr".into());
                flags.push(format!("-Clink-arg=-Wl,-T,{}", root.join("engine/agent.ld").display()));
                if self.smallest {
                    // The C library of -gnu cannot relocate itself so before 2.36.
                    flags.push("-Clink-arg=-Wl,-z,pack-relative-relocs".into());
                }
            }
        }
        flags.join("\x1f")
    }
}

/// The folder that makes `cc` link by the linker that comes with the compiler; none where none comes with it.
fn lld() -> Option<PathBuf> {
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let asked = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8(asked.stdout).ok()?.trim());
    let host = env::var("HOST").expect("cargo sets HOST");
    let folder = sysroot.join("lib/rustlib").join(host).join("bin/gcc-ld");
    (folder.join("ld.lld").is_file() && env::var("HOST") == env::var("TARGET")).then_some(folder)
}

fn build(root: &Path, out: &Path, recipe: &Recipe) -> Vec<u8> {
    let target = recipe.target();
    let profile = recipe.profile;
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
        .env("CARGO_ENCODED_RUSTFLAGS", recipe.flags(root));
    if recipe.smallest {
        // The standard library anew, for size and without what explains stacks: not stable yet, so only when asked.
        command
            .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env(format!("CC_{}", target.replace('-', "_")), "cc");
    }
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
