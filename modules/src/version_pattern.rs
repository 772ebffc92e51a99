//! Patterns of package versions: `1.24*`.

/// Whether a version matches a pattern: `*` stands for any text, `?` for any one character, everything
/// else for itself.
#[must_use]
pub fn version_matches(pattern: &str, version: &str) -> bool {
    let (pattern, version) = (pattern.as_bytes(), version.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where the last `*` stands and how far it has reached: the only place to go back to.
    let mut star: Option<(usize, usize)> = None;
    while read < version.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == version[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((star_at, reached)) = star else { return false };
                star = Some((star_at, reached + 1));
                at = star_at + 1;
                read = reached + 1;
            }
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match() {
        assert!(version_matches("1.24*", "1.24.0-2+deb12u1"));
        assert!(version_matches("1.24.0-2", "1.24.0-2"));
        assert!(version_matches("*deb12u?", "1.22.1-9+deb12u1"));
        assert!(version_matches("1*0*1", "1.0.0.1"));
        assert!(version_matches("*", ""));
        assert!(!version_matches("1.24*", "1.2"));
        assert!(!version_matches("1.24", "1.24.0"));
        assert!(!version_matches("*deb12u?", "1.22.1-9+deb12u11"));
    }
}
