//! What is special about tasks of modules of the repository.

use std::collections::HashSet;

use cm_modules::custom::{Declaration, Undo};
use cm_wire::Secret;

use super::merge::Merged;
use crate::scope::secret_texts;

fn declaration<'a>(task: &'a Merged<'_>) -> Option<&'a Declaration> {
    task.first().task.module.schema.custom.map(|custom| &custom.declaration)
}

/// Whether it is one.
pub(super) fn is_custom(task: &Merged<'_>) -> bool {
    declaration(task).is_some()
}

/// Whether what it does can be taken back, as far as its module says.
pub(super) fn can_undo(task: &Merged<'_>) -> bool {
    declaration(task).is_none_or(|declaration| declaration.undo != Undo::None)
}

/// Seconds that a call may take by the module's declaration; 0: it does not say.
pub(super) fn timeout(task: &Merged<'_>) -> u32 {
    declaration(task).map_or(0, |declaration| declaration.timeout)
}

/// Adds the values of sensitive parameters; and, since programs speak JSON, all secrets in its spelling.
pub(super) fn add_secrets<'a, 't: 'a>(
    tasks: impl Iterator<Item = &'a Merged<'t>>,
    secrets: &mut Vec<Secret>,
) {
    let mut speaks_json = false;
    for task in tasks {
        let Some(declaration) = declaration(task) else { continue };
        speaks_json = true;
        for name in &declaration.secrets {
            if let Some(value) = task.rendered.params.get(name) {
                secret_texts(value, secrets);
            }
        }
    }
    if speaks_json {
        let mut known = HashSet::new();
        secrets.retain(|secret| known.insert(secret.expose().to_owned()));
        let spelled: Vec<Secret> = secrets.iter().flat_map(json_spellings).collect();
        secrets.extend(spelled.into_iter().filter(|secret| known.insert(secret.expose().to_owned())));
    }
}

/// The text as it stands between the quotes of a JSON string, where that is another one: as most programs write
/// it, and as those do that write ASCII alone.
fn json_spellings(secret: &Secret) -> Vec<Secret> {
    let mut plain = String::new();
    let mut ascii = String::new();
    for c in secret.expose().chars() {
        let escaped = match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            c if c.is_control() => format!("\\u{:04x}", c as u32),
            c => c.to_string(),
        };
        plain.push_str(&escaped);
        if escaped.is_ascii() {
            ascii.push_str(&escaped);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    let mut spellings = vec![plain, ascii];
    spellings.dedup();
    spellings.retain(|spelling| spelling != secret.expose());
    spellings.into_iter().map(Secret::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_in_the_spellings_of_json() {
        let spelled = |text: &str| -> Vec<String> {
            let spellings = json_spellings(&Secret::new(text.into()));
            spellings.iter().map(|secret| secret.expose().to_owned()).collect()
        };
        assert_eq!(spelled("plain"), Vec::<String>::new());
        assert_eq!(spelled("a\"b\\\n"), [r#"a\"b\\\n"#]);
        assert_eq!(spelled("ü😀"), [r"\u00fc\ud83d\ude00"]);
        assert_eq!(spelled("ü\t"), ["ü\\t", r"\u00fc\t"]);
    }
}
