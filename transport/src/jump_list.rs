//! Reads `ProxyJump` lists: `[user@]host[:port]` or `ssh://[user@]host[:port]`, comma separated.

/// One jump host as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JumpHost {
    pub user: Option<String>,
    pub host: String,
    pub port: Option<u16>,
}

/// Reads a list, outermost first; `none` is an empty one.
///
/// # Errors
/// The part that makes no sense.
pub(crate) fn parse_jumps(text: &str) -> Result<Vec<JumpHost>, String> {
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    text.split(',').map(|one| parse(one.trim()).ok_or_else(|| one.trim().to_owned())).collect()
}

fn parse(text: &str) -> Option<JumpHost> {
    let text = match text.strip_prefix("ssh://") {
        Some(rest) => rest.strip_suffix('/').unwrap_or(rest),
        None => text,
    };
    // The last `@`: user names may hold one (user@REALM).
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']')?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return None,
        }
    } else {
        match rest.split_once(':') {
            // More than one colon: an IPv6 address without brackets, hence without a port.
            Some((_, port)) if port.contains(':') => (rest, None),
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        }
    };
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
        None => None,
    };
    let well_formed =
        |name: &str| !name.is_empty() && !name.starts_with('-') && !name.contains(char::is_whitespace);
    if !well_formed(host) || !user.as_deref().is_none_or(well_formed) {
        return None;
    }
    Some(JumpHost { user, host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jump(user: Option<&str>, host: &str, port: Option<u16>) -> JumpHost {
        JumpHost { user: user.map(str::to_owned), host: host.to_owned(), port }
    }

    #[test]
    fn all_ways_to_write_a_jump() {
        assert_eq!(parse_jumps("none"), Ok(vec![]));
        assert_eq!(
            parse_jumps("a, me@b:2222,[fe80::1]:23, fe80::2 ,ssh://u@d:24/,x@REALM@e"),
            Ok(vec![
                jump(None, "a", None),
                jump(Some("me"), "b", Some(2222)),
                jump(None, "fe80::1", Some(23)),
                jump(None, "fe80::2", None),
                jump(Some("u"), "d", Some(24)),
                jump(Some("x@REALM"), "e", None),
            ])
        );
    }

    #[test]
    fn nonsense_is_named() {
        for (text, fault) in [
            ("a,,b", ""),
            ("a:x", "a:x"),
            ("@b", "@b"),
            ("-oProxyCommand=x", "-oProxyCommand=x"),
            ("[a", "[a"),
            ("a:0", "a:0"),
        ] {
            assert_eq!(parse_jumps(text), Err(fault.to_owned()), "{text}");
        }
    }
}
