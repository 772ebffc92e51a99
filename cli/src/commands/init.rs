//! `cm init`: a small working repository to start from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{exit::Exit, failure::Failure, options::Options, report};

/// What is written, by path.
const FILES: &[(&str, &str)] = &[
    ("inventory.yaml", include_str!("init/inventory.yaml")),
    ("cm.toml", include_str!("init/cm.toml")),
    ("roles/motd/role.yaml", include_str!("init/role.yaml")),
    ("roles/motd/templates/motd.j2", include_str!("init/motd.j2")),
    (".gitignore", "/.cm/\n"),
];

#[derive(Args, Debug)]
pub struct Arguments {
    /// The folder; made where it is missing.
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub fn run(options: &Options, arguments: &Arguments) -> Result<Exit, Failure> {
    let folder = options
        .repository
        .as_ref()
        .map_or_else(|| arguments.folder.clone(), |root| root.join(&arguments.folder));
    let present: Vec<&str> =
        FILES.iter().map(|(path, _)| *path).filter(|path| folder.join(path).exists()).collect();
    if let Some(first) = present.iter().find(|path| **path != ".gitignore") {
        return Err(Failure::new(format!(
            "{} is there already; nothing was written",
            folder.join(first).display()
        ))
        .hint("name an empty folder: cm init FOLDER"));
    }
    for (path, text) in FILES.iter().filter(|(path, _)| !present.contains(path)) {
        write(&folder.join(path), text).map_err(|error| {
            Failure::because(format!("{} could not be written", folder.join(path).display()), &error)
        })?;
    }
    if !options.quiet {
        report::print(&format!(
            "wrote a repository to {}\n  next: cm lint, then cm plan on all, then cm apply on all\n",
            folder.display()
        ));
    }
    Ok(Exit::Ok)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}
