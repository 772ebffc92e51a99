//! `cargo xtask demo`: from a fresh machine to a role applied on real hosts, before the user's eyes.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{packages, shell};

/// The lab's name.
const LAB: &str = "demo";

/// Runs the demonstration.
pub fn run() -> Result<()> {
    if !shell::is_root() {
        bail!("the demo boots hosts with systemd-nspawn and so needs root: sudo -E cargo xtask demo");
    }
    packages::install(&[packages::LAB])?;
    say("build cm (it carries its agent inside)");
    shell::run(&mut shell::command("cargo", &["build", "--release", "--locked"]))?;

    let folder = shell::root().join("target/demo");
    fs::create_dir_all(&folder)?;
    let demo = Demo { program: shell::root().join("target/release/cm"), folder };

    say("boot a lab: three real Debian hosts with systemd and sshd");
    // One that a former demo left up is taken down first; none is no failure.
    let _ = demo.cm(&["lab", "down", LAB]).output();
    demo.expect(0, &["lab", "up", LAB, "--dir", &demo.folder.to_string_lossy()])?;
    copy(&shell::root().join("docs/examples/web/roles"), &demo.folder.join("roles"))?;

    say("check the whole repository; no host is touched");
    demo.expect(0, &["lint"])?;
    say("what would the role `web` change? (exit status 2: changes are pending)");
    demo.expect(2, &["plan", "web", "on", "web", "--set", "port=8080"])?;
    say("make it so");
    demo.expect(0, &["apply", "web", "on", "web", "--set", "port=8080"])?;
    say("again: nothing to change");
    demo.expect(0, &["apply", "web", "on", "web", "--set", "port=8080"])?;
    say("somebody changes a file by hand, behind our back");
    demo.expect(0, &["run", "echo 'listen 80;' > /etc/nginx/sites-enabled/site.conf", "on", "web1"])?;
    say("verify finds it (exit status 2: drift)");
    demo.expect(2, &["verify", "web", "on", "web", "--set", "port=8080"])?;
    say("apply mends it");
    demo.expect(0, &["apply", "web", "on", "web", "--set", "port=8080"])?;
    say("all of it is remembered");
    demo.expect(0, &["history"])?;

    println!(
        "\nThe lab is still up. Go on:\n  cd {}\n  {1} facts on all\n  {1} graph web --format mermaid\n  {1} lab ssh web1 --lab {LAB}\n\
         Take it down:\n  {1} lab down {LAB}",
        demo.folder.display(),
        demo.program.display()
    );
    Ok(())
}

struct Demo {
    program: std::path::PathBuf,
    folder: std::path::PathBuf,
}

impl Demo {
    fn cm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.folder);
        command
    }

    /// Shows and runs `cm`; another exit status than this is an error.
    fn expect(&self, wanted: i32, arguments: &[&str]) -> Result<()> {
        let mut command = self.cm(arguments);
        println!("$ {}", shell::show(&command).replace(&*self.program.to_string_lossy(), "cm"));
        let status =
            command.status().with_context(|| format!("{} could not be started", self.program.display()))?;
        if status.code() != Some(wanted) {
            bail!("that should have ended with {wanted}, but ended with {status}");
        }
        Ok(())
    }
}

fn say(text: &str) {
    println!("\n--- {text}");
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
