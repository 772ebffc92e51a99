//! How each package manager writes a source of packages down, and where.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use crate::{Problem, node::PackageManager};

/// A source of packages as the role gives it.
pub struct Definition {
    pub name: String,
    pub urls: Vec<String>,
    pub suites: Option<Vec<String>>,
    pub components: Option<Vec<String>>,
    pub types: Option<Vec<String>>,
    pub architectures: Option<Vec<String>>,
    pub trusted: bool,
    pub enabled: bool,
    pub description: Option<String>,
}

/// The files of a source of packages.
pub struct Places {
    /// Whose they are.
    pub manager: PackageManager,
    name: String,
}

impl Places {
    /// None for a package manager whose sources are not files of their own.
    pub fn of(manager: PackageManager, name: &str) -> Option<Self> {
        match manager {
            PackageManager::Apt | PackageManager::Dnf | PackageManager::Zypper => {
                Some(Self { manager, name: name.to_owned() })
            }
            PackageManager::Pacman | PackageManager::Apk => None,
        }
    }

    /// The file that says where the packages are.
    pub fn definition(&self) -> PathBuf {
        let name = &self.name;
        PathBuf::from(match self.manager {
            PackageManager::Apt => format!("/etc/apt/sources.list.d/{name}.sources"),
            PackageManager::Zypper => format!("/etc/zypp/repos.d/{name}.repo"),
            _ => format!("/etc/yum.repos.d/{name}.repo"),
        })
    }

    /// Every file that the key can be in.
    pub fn keys(&self) -> Vec<PathBuf> {
        let armored = self.armored_key();
        match self.manager {
            PackageManager::Apt => vec![armored, self.binary_key()],
            _ => vec![armored],
        }
    }

    /// The key's file by its form: apt goes by the ending.
    pub fn key(&self, armored: bool) -> Result<PathBuf, Problem> {
        match (armored, self.manager) {
            (true, _) => Ok(self.armored_key()),
            (false, PackageManager::Apt) => Ok(self.binary_key()),
            (false, manager) => Err(Problem::new(format!(
                "the key of the repository `{}` is not ASCII-armored, and {} wants it so",
                self.name,
                manager.word()
            ))
            .hint("`gpg --enarmor` turns a binary key into an armored one")),
        }
    }

    fn armored_key(&self) -> PathBuf {
        let name = &self.name;
        PathBuf::from(match self.manager {
            PackageManager::Apt => format!("/etc/apt/keyrings/{name}.asc"),
            _ => format!("/etc/pki/rpm-gpg/{name}.asc"),
        })
    }

    fn binary_key(&self) -> PathBuf {
        PathBuf::from(format!("/etc/apt/keyrings/{}.gpg", self.name))
    }
}

impl Definition {
    /// The text of the file, with the key it is signed by.
    ///
    /// # Errors
    /// What this package manager wants and was not given, or cannot take.
    pub fn text(&self, manager: PackageManager, key: Option<&Path>) -> Result<String, Problem> {
        match manager {
            PackageManager::Apt => self.deb822(key),
            _ => self.repo_file(manager, key),
        }
    }

    /// sources.list(5), deb822 style, which every apt since Debian 9 reads.
    fn deb822(&self, key: Option<&Path>) -> Result<String, Problem> {
        let wrong = |what: String| {
            Err(Problem::new(format!("the repository `{}` {what}", self.name))
                .hint("`suites: [bookworm]` and `components: [main]`, or `suites: ./` for a flat repository"))
        };
        let Some(suites) = &self.suites else { return wrong("has no `suites`, which apt wants".into()) };
        let flat = suites.iter().any(|suite| suite.ends_with('/'));
        match &self.components {
            None if !flat => return wrong("has no `components`, which apt wants".into()),
            Some(_) if flat => return wrong("has `components`, and a flat suite, which has none".into()),
            _ => {}
        }
        let types = self.types.as_ref().map_or_else(|| "deb".to_owned(), |types| types.join(" "));
        let mut text =
            format!("Types: {types}\nURIs: {}\nSuites: {}\n", self.urls.join(" "), suites.join(" "));
        let mut field = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}: {value}");
        };
        if let Some(components) = &self.components {
            field("Components", components.join(" "));
        }
        if let Some(architectures) = &self.architectures {
            field("Architectures", architectures.join(" "));
        }
        if let Some(key) = key {
            field("Signed-By", key.display().to_string());
        }
        if self.trusted {
            field("Trusted", "yes".into());
        }
        if !self.enabled {
            field("Enabled", "no".into());
        }
        Ok(text)
    }

    /// What dnf and zypper read.
    fn repo_file(&self, manager: PackageManager, key: Option<&Path>) -> Result<String, Problem> {
        let of_apt = [
            ("suites", &self.suites),
            ("components", &self.components),
            ("types", &self.types),
            ("architectures", &self.architectures),
        ];
        if let Some((name, _)) = of_apt.iter().find(|(_, given)| given.is_some()) {
            let message = format!(
                "the repository `{}` has `{name}`, which is apt's; this node has {}",
                self.name,
                manager.word()
            );
            return Err(Problem::new(message)
                .hint("`when: node.package_manager == \"apt\"` keeps a task to nodes with apt"));
        }
        let name = &self.name;
        let mut text = format!("[{name}]\nname={}\n", self.description.as_ref().unwrap_or(name));
        let mut field = |name: &str, value: &str| {
            let _ = writeln!(text, "{name}={value}");
        };
        field("baseurl", &self.urls.join("\n        "));
        field("enabled", if self.enabled { "1" } else { "0" });
        if manager == PackageManager::Zypper {
            field("autorefresh", "1");
        }
        if self.trusted {
            field("gpgcheck", "0");
        }
        if let Some(key) = key {
            field("gpgcheck", "1");
            field("gpgkey", &format!("file://{}", key.display()));
        }
        Ok(text)
    }
}
