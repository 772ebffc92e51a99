//! Which known name a mistyped one was meant to be.

use strsim::osa_distance;

/// Finds the known name nearest to `word`, if one is near enough to be worth offering.
///
/// The same letters in another case come first, then names that begin with the word (or it with them, from three
/// letters on), then the smallest edit distance: one edit for short words, a third of the letters for longer ones.
///
/// ```
/// # use cm_syntax::nearest;
/// assert_eq!(nearest("prot", ["host", "port"]), Some("port"));
/// assert_eq!(nearest("web", ["db", "mail"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = fold(word);
    let length = lower.chars().count();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .filter_map(|candidate| {
            let other = fold(candidate);
            let other_length = other.chars().count();
            let allowed = (length.max(other_length) / 3).max(usize::from(length > 1));
            let rank = if other == lower {
                (0, 0, 0)
            } else if allowed > 0
                && length.abs_diff(other_length) <= allowed
                && osa_distance(&lower, &other) == 1
            {
                (1, 1, length.abs_diff(other_length))
            } else if length.min(other_length) >= 3
                && (other.starts_with(&lower) || lower.starts_with(&other))
            {
                (2, length.abs_diff(other_length), 0)
            } else {
                if length.abs_diff(other_length) > allowed {
                    return None;
                }
                let distance = osa_distance(&lower, &other);
                (distance <= allowed).then_some((3, distance, length.abs_diff(other_length)))?
            };
            Some((rank, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Case and the two ways to join words do not count.
fn fold(word: &str) -> String {
    word.chars().map(|c| if c == '-' { '_' } else { c }).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names() {
        let keys = ["content", "template", "source", "mode", "owner", "reloads", "restarts", "when"];
        assert_eq!(nearest("contnet", keys), Some("content"));
        assert_eq!(nearest("Mode", keys), Some("mode"));
        assert_eq!(nearest("reload", keys), Some("reloads"));
        assert_eq!(nearest("restart_", keys), Some("restarts"));
        assert_eq!(nearest("tmpl", keys), None);
        assert_eq!(nearest("x", keys), None);
        assert_eq!(nearest("m", ["n"]), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest("host-keys", ["host_keys", "hosts"]), Some("host_keys"));
    }

    #[test]
    fn one_letter_changed_is_nearer_than_one_left_out() {
        assert_eq!(nearest("app9", ["app", "app1"]), Some("app1"));
    }

    #[test]
    fn a_word_is_not_near_itself() {
        assert_eq!(nearest("web", ["web"]), None);
    }

    #[test]
    fn ties_are_settled_the_same_way_always() {
        assert_eq!(nearest("web5", ["web4", "web1"]), Some("web1"));
    }
}
