//! The nearest of many names, for `did you mean`.

/// The known name nearest to a wrong one, none where nothing is near.
#[must_use]
pub fn nearest_name<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = match wrong.len() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    known
        .into_iter()
        .filter(|name| name.len().abs_diff(wrong.len()) <= limit)
        .map(|name| (strsim::osa_distance(wrong, name), name))
        .filter(|(distance, _)| (1..=limit).contains(distance))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_offered() {
        let known = ["nginx", "nginx-light", "curl"];
        assert_eq!(nearest_name("ngnix", known), Some("nginx"));
        assert_eq!(nearest_name("curll", known), Some("curl"));
        assert_eq!(nearest_name("postgres", known), None);
        assert_eq!(nearest_name("cu", known), None);
    }
}
