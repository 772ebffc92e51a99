//! Writes the list of shipped roles: every file below `library/`, for `src/library.rs`.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("library");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut text = String::from("static LIBRARY: &[Shipped] = &[\n");
    for role in sorted(&folder)? {
        if !role.join("role.yaml").is_file() {
            continue;
        }
        println!("cargo::rerun-if-changed={}", role.display());
        writeln!(text, "    ({:?}, &[", role.file_name().unwrap_or_default().to_string_lossy())?;
        files(&role, &role, &mut text)?;
        writeln!(text, "    ]),")?;
    }
    text.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("library.rs"), text)?;
    Ok(())
}

fn files(role: &Path, folder: &Path, text: &mut String) -> Result<(), Box<dyn Error>> {
    for path in sorted(folder)? {
        if path.is_dir() {
            println!("cargo::rerun-if-changed={}", path.display());
            files(role, &path, text)?;
        } else {
            let below = path.strip_prefix(role)?.to_string_lossy().into_owned();
            writeln!(text, "        ({below:?}, include_bytes!({:?})),", path.to_string_lossy())?;
        }
    }
    Ok(())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}
