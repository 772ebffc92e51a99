//! The structure of ssh_config files: which lines stand under which `Host` and `Match` lines, includes followed.

use std::path::{Path, PathBuf};

use crate::pattern;

/// Where configuration is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigPaths {
    /// Home directory, for `~` and for relative includes of the user's file.
    pub home: PathBuf,
    /// The files, the one that wins first.
    pub files: Vec<PathBuf>,
}

/// All settings of all files, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Config {
    pub blocks: Vec<Block>,
}

/// Lines under one `Host` or `Match` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// All must hold; several where a file is included under a condition.
    pub conditions: Vec<Condition>,
    pub lines: Vec<Setting>,
}

/// One `Host` or `Match` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// `Host` with its patterns.
    Host(Vec<String>),
    /// `Match all`.
    All,
    /// Any other `Match`; only `ssh` itself can say.
    Other,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Lower case.
    pub keyword: String,
    pub arguments: Vec<String>,
}

/// Whether a block applies to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applies {
    Yes,
    No,
    /// Only `ssh` can say.
    Perhaps,
}

/// As deep as `ssh` follows includes (READCONF_MAX_DEPTH).
const DEEPEST_INCLUDE: usize = 16;

impl Config {
    /// Reads files and what they include. Missing and unreadable ones are passed over here; `ssh -G` complains.
    pub fn read(paths: &ConfigPaths) -> Self {
        let mut config = Self::default();
        for file in &paths.files {
            config.read_file(file, paths, &[], 0);
        }
        config
    }

    /// Returns the indices of the blocks that apply, or may apply, to a host.
    pub fn matching(&self, host: &str) -> Vec<(usize, Applies)> {
        self.blocks
            .iter()
            .enumerate()
            .filter(|(_, block)| !block.lines.is_empty())
            .map(|(index, block)| (index, block.applies(host)))
            .filter(|(_, applies)| *applies != Applies::No)
            .collect()
    }

    fn read_file(&mut self, file: &Path, paths: &ConfigPaths, outer: &[Condition], depth: usize) {
        let Ok(bytes) = std::fs::read(file) else { return };
        let text = String::from_utf8_lossy(&bytes);
        let mut conditions = outer.to_vec();
        self.open(&conditions);
        for line in text.lines() {
            let Some(setting) = parse_line(line) else { continue };
            let condition = match setting.keyword.as_str() {
                "host" => Condition::Host(setting.arguments),
                "match" => match setting.arguments.as_slice() {
                    [only] if only.eq_ignore_ascii_case("all") => Condition::All,
                    _ => Condition::Other,
                },
                "include" => {
                    if depth < DEEPEST_INCLUDE {
                        for pattern in &setting.arguments {
                            for included in expand_include(pattern, file, paths) {
                                self.read_file(&included, paths, &conditions, depth + 1);
                            }
                        }
                    }
                    // What follows the include stands under the same condition as before it.
                    self.open(&conditions);
                    continue;
                }
                _ => {
                    if let Some(block) = self.blocks.last_mut() {
                        block.lines.push(setting);
                    }
                    continue;
                }
            };
            conditions = outer.to_vec();
            conditions.push(condition);
            self.open(&conditions);
        }
    }

    fn open(&mut self, conditions: &[Condition]) {
        self.blocks.push(Block { conditions: conditions.to_vec(), lines: Vec::new() });
    }
}

impl Block {
    fn applies(&self, host: &str) -> Applies {
        let mut result = Applies::Yes;
        for condition in &self.conditions {
            match condition {
                Condition::Host(patterns) => {
                    if !pattern::matches_list(patterns.iter().map(String::as_str), host) {
                        return Applies::No;
                    }
                }
                Condition::All => {}
                Condition::Other => result = Applies::Perhaps,
            }
        }
        result
    }

    /// Says whether the block is about particular hosts, not about all.
    pub fn is_specific(&self) -> bool {
        self.conditions.iter().any(|condition| match condition {
            Condition::Host(patterns) => !patterns.iter().any(|pattern| pattern == "*"),
            Condition::All => false,
            Condition::Other => true,
        })
    }
}

/// Splits a line into keyword and arguments: blanks or one `=` between, double quotes keep blanks.
fn parse_line(line: &str) -> Option<Setting> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(line.len());
    let keyword = line[..end].trim_matches('"').to_ascii_lowercase();
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    // A command is for the shell, which has its own rules of quoting.
    let arguments = if keyword == "proxycommand" { vec![rest.to_owned()] } else { split_arguments(rest) };
    Some(Setting { keyword, arguments })
}

fn split_arguments(text: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', _) if matches!(characters.peek(), Some('"' | '\'' | '\\')) => {
                current.get_or_insert_default().extend(characters.next());
            }
            ('"' | '\'', None) => {
                quote = Some(character);
                current.get_or_insert_default();
            }
            (_, Some(open)) if character == open => quote = None,
            (_, None) if character.is_ascii_whitespace() => arguments.extend(current.take()),
            // A comment may follow the arguments (since OpenSSH 8.5).
            ('#', None) if current.is_none() => break,
            _ => current.get_or_insert_default().push(character),
        }
    }
    arguments.extend(current);
    arguments
}

/// Finds the files that an `Include` names: relative to `~/.ssh` for the user's files, to `/etc/ssh` for the system's.
fn expand_include(pattern: &str, from: &Path, paths: &ConfigPaths) -> Vec<PathBuf> {
    let pattern = if let Some(rest) = pattern.strip_prefix("~/") {
        paths.home.join(rest)
    } else if pattern.starts_with('/') {
        PathBuf::from(pattern)
    } else if from.starts_with("/etc/ssh") {
        Path::new("/etc/ssh").join(pattern)
    } else {
        paths.home.join(".ssh").join(pattern)
    };
    let mut found = vec![PathBuf::from("/")];
    for component in pattern.components().skip(1) {
        let Some(component) = component.as_os_str().to_str() else { return Vec::new() };
        if component.contains(['*', '?']) {
            found = found.iter().flat_map(|folder| entries_matching(folder, component)).collect();
        } else {
            found = found.into_iter().map(|folder| folder.join(component)).collect();
        }
    }
    found.retain(|path| path.is_file());
    found
}

fn entries_matching(folder: &Path, component: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| pattern::matches(component, name))
        // As glob(3): a leading dot must be written.
        .filter(|name| !name.starts_with('.') || component.starts_with('.'))
        .collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<String> {
        parse_line(line).unwrap().arguments
    }

    #[test]
    fn lines_are_split_as_ssh_does() {
        assert_eq!(parse_line("  # a comment"), None);
        assert_eq!(parse_line("Host=a b").unwrap().keyword, "host");
        assert_eq!(arguments("Host = a b"), ["a", "b"]);
        assert_eq!(arguments("IdentityFile \"~/my keys/one\""), ["~/my keys/one"]);
        assert_eq!(arguments("User admin # not the root"), ["admin"]);
        assert_eq!(arguments("ProxyCommand nc -X 'a b' %h %p"), ["nc -X 'a b' %h %p"]);
    }

    #[test]
    fn includes_stand_under_the_condition_around_them() {
        let home = tempfile::tempdir().unwrap();
        let ssh = home.path().join(".ssh");
        std::fs::create_dir_all(ssh.join("conf.d")).unwrap();
        std::fs::write(ssh.join("config"), "Host web*\n Include conf.d/*.conf\n Port 1\nHost *\n Port 2\n")
            .unwrap();
        std::fs::write(ssh.join("conf.d/a.conf"), "User a\nHost *1\n User b\n").unwrap();
        std::fs::write(ssh.join("conf.d/.hidden.conf"), "User hidden\n").unwrap();
        let paths = ConfigPaths { home: home.path().to_owned(), files: vec![ssh.join("config")] };
        let config = Config::read(&paths);
        let settings = |host: &str| -> Vec<String> {
            config
                .matching(host)
                .into_iter()
                .flat_map(|(index, _)| config.blocks[index].lines.clone())
                .map(|line| format!("{} {}", line.keyword, line.arguments.join(" ")))
                .collect()
        };
        assert_eq!(settings("web1"), ["user a", "user b", "port 1", "port 2"]);
        assert_eq!(settings("web2"), ["user a", "port 1", "port 2"]);
        assert_eq!(settings("db1"), ["port 2"]);
    }
}
