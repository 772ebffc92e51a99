//! What `ansible_ssh_common_args` and its like mean for our own connections: the options of `ssh` that say something here.

use super::words;

/// What the arguments say that we can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Understood {
    pub jump: Option<String>,
    pub user: Option<String>,
    pub port: Option<i64>,
    pub key: Option<String>,
    pub config: Option<String>,
    pub known_hosts: Option<String>,
    pub accept_new: Option<bool>,
    pub connect_timeout: Option<i64>,
    pub keepalive: Option<i64>,
    /// What says something that is not honoured here, as written.
    pub left: Vec<String>,
}

/// Options of `ssh_config` that change nothing for us: how OpenSSH keeps connections, what it prints, what we do anyway.
const IDLE: [&str; 14] = [
    "batchmode",
    "compression",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "escapechar",
    "forwardagent",
    "gssapiauthentication",
    "kbdinteractiveauthentication",
    "loglevel",
    "passwordauthentication",
    "preferredauthentications",
    "serveralivecountmax",
    "tcpkeepalive",
];

/// Letters of `ssh` that take a value.
const WITH_VALUE: &str = "BbcDEeFIiJLlmOopQRSWw";

/// Reads arguments as `ssh` takes them.
pub(crate) fn read(text: &str) -> Understood {
    let mut found = Understood::default();
    let Ok(words) = words::split(text) else {
        found.left.push(text.to_owned());
        return found;
    };
    let mut words = words.into_iter().map(|word| word.text);
    while let Some(word) = words.next() {
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            found.left.push(word);
            continue;
        };
        for (at, letter) in letters.char_indices() {
            if !WITH_VALUE.contains(letter) {
                if !matches!(letter, '4' | '6' | 'A' | 'a' | 'C' | 'k' | 'n' | 'q' | 'T' | 't' | 'v' | 'x') {
                    found.left.push(format!("-{letter}"));
                }
                continue;
            }
            let rest = &letters[at + letter.len_utf8()..];
            let value = if rest.is_empty() { words.next() } else { Some(rest.to_owned()) };
            match value {
                Some(value) => found.letter(letter, value),
                None => found.left.push(word.clone()),
            }
            break;
        }
    }
    found
}

impl Understood {
    fn letter(&mut self, letter: char, value: String) {
        match letter {
            'J' => self.jump = Some(value),
            'l' => self.user = Some(value),
            'i' => self.key = Some(value),
            'F' => self.config = Some(value),
            'p' => match value.parse() {
                Ok(port) => self.port = Some(port),
                Err(_) => self.left.push(format!("-p {value}")),
            },
            'o' => self.option(&value),
            'S' | 'E' | 'e' => {}
            other => self.left.push(format!("-{other} {value}")),
        }
    }

    fn option(&mut self, text: &str) {
        let at = text.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(text.len());
        let (name, value) =
            (text[..at].to_ascii_lowercase(), text[at..].trim_start_matches(['=', ' ', '\t']));
        let value = value.trim().trim_matches('"').to_owned();
        let lower = value.to_ascii_lowercase();
        match name.as_str() {
            "proxyjump" => self.jump = Some(value),
            "proxycommand" => match jump_of_command(&value) {
                Some(jump) => self.jump = Some(jump),
                None => self.left.push(format!("-o {text}")),
            },
            "user" => self.user = Some(value),
            "identityfile" => self.key = Some(value),
            "userknownhostsfile" if value != "/dev/null" => self.known_hosts = Some(value),
            // Remembering nothing goes with asking nothing; we remember in the usual file.
            "userknownhostsfile" => {}
            "port" if value.parse::<i64>().is_ok() => self.port = value.parse().ok(),
            "connecttimeout" if value.parse::<i64>().is_ok_and(|time| time > 0) => {
                self.connect_timeout = value.parse().ok();
            }
            "serveraliveinterval" if value.parse::<i64>().is_ok() => self.keepalive = value.parse().ok(),
            "stricthostkeychecking" => match lower.as_str() {
                "yes" | "ask" | "true" => self.accept_new = Some(false),
                "no" | "off" | "false" | "accept-new" => self.accept_new = Some(true),
                _ => self.left.push(format!("-o {text}")),
            },
            name if IDLE.contains(&name) => {}
            _ => self.left.push(format!("-o {text}")),
        }
    }
}

/// The jump host of `ssh -W %h:%p [-q] [-p PORT] [USER@]HOST`.
fn jump_of_command(command: &str) -> Option<String> {
    let words: Vec<String> = words::split(command).ok()?.into_iter().map(|word| word.text).collect();
    let (program, rest) = words.split_first()?;
    if program != "ssh" && !program.ends_with("/ssh") {
        return None;
    }
    let (mut host, mut port, mut user, mut tunnel) = (None, None, None, false);
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-W" => tunnel = rest.next()? == "%h:%p",
            "-W%h:%p" => tunnel = true,
            "-p" => port = Some(rest.next()?.parse::<u16>().ok()?),
            "-l" => user = Some(rest.next()?.clone()),
            "-q" | "-T" | "-A" | "-C" => {}
            // Options of the way to the jump host that change nothing about where it is.
            "-o" => {
                let option = rest.next()?.to_ascii_lowercase();
                let name = option.split(['=', ' ']).next().unwrap_or_default();
                if !IDLE.contains(&name) {
                    return None;
                }
            }
            word if word.starts_with('-') => return None,
            _ if host.is_none() => host = Some(word.clone()),
            _ => return None,
        }
    }
    let host = host.filter(|_| tunnel)?;
    let user = user.map_or_else(String::new, |user| format!("{user}@"));
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    Some(format!("{user}{host}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_mean_something_here_are_taken() {
        let found = read(
            "-J bob@bastion:2222 -o StrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null -o ControlMaster=auto \
             -o 'ConnectTimeout 7' -i ~/.ssh/k -qC -o ServerAliveInterval=30 -l anna -p2200",
        );
        let wanted = Understood {
            jump: Some("bob@bastion:2222".into()),
            accept_new: Some(true),
            connect_timeout: Some(7),
            key: Some("~/.ssh/k".into()),
            keepalive: Some(30),
            user: Some("anna".into()),
            port: Some(2200),
            ..Understood::default()
        };
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_proxy_command_of_ssh_is_a_jump() {
        let jump = |text: &str| read(&format!("-o ProxyCommand='{text}'"));
        assert_eq!(jump("ssh -W %h:%p -q bob@bastion").jump.unwrap(), "bob@bastion");
        assert_eq!(jump("ssh -p 2222 -l bob -W %h:%p bastion").jump.unwrap(), "bob@bastion:2222");
        for other in ["nc -X 5 %h %p", "ssh bastion nc %h %p", "ssh -i k -W %h:%p bastion", "ssh"] {
            let found = jump(other);
            assert_eq!((found.jump, found.left.len()), (None, 1), "{other}");
        }
    }

    #[test]
    fn what_is_not_honoured_is_named() {
        assert_eq!(read("-L 80:a:80 -o Ciphers=x y").left, ["-L 80:a:80", "-o Ciphers=x", "y"]);
        assert_eq!(read("-o 'open").left, ["-o 'open"]);
        assert_eq!(read("-p").left, ["-p"]);
    }
}
