//! Filters and tests that people who come from Ansible expect, beside those of minijinja.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use minijinja::{
    Environment, Error, ErrorKind, Value,
    value::{Kwargs, ValueKind},
};
use regex::Regex;

/// Adds them all.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("to_json", |value: Value| json(&value, false));
    environment.add_filter("to_nice_json", |value: Value| json(&value, true));
    environment.add_filter("to_yaml", yaml);
    environment.add_filter("to_nice_yaml", yaml);
    environment.add_filter("from_json", from_json);
    environment.add_filter("from_yaml", from_yaml);
    environment.add_filter("b64encode", |text: &str| BASE64_STANDARD.encode(text));
    environment.add_filter("b64decode", b64decode);
    environment.add_filter("sha256", sha256);
    environment.add_filter("hash", hash);
    environment.add_filter("quote", quote);
    environment.add_filter("comment", comment);
    environment.add_filter("splitlines", |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>());
    environment.add_filter("regex_replace", regex_replace);
    environment.add_filter("regex_search", regex_search);
    environment.add_filter("regex_findall", regex_findall);
    environment.add_filter("regex_escape", |text: &str| regex::escape(text));
    environment.add_filter("basename", |path: &str| {
        path.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_owned()
    });
    environment.add_filter("dirname", dirname);
    environment.add_filter("combine", combine);
    environment.add_filter("flatten", flatten);
    environment.add_filter("union", |a: Vec<Value>, b: Vec<Value>| distinct(a.into_iter().chain(b)));
    environment.add_filter("intersect", |a: Vec<Value>, b: Vec<Value>| {
        distinct(a.into_iter().filter(|value| b.contains(value)))
    });
    environment.add_filter("difference", |a: Vec<Value>, b: Vec<Value>| {
        distinct(a.into_iter().filter(|value| !b.contains(value)))
    });
    environment
        .add_filter("ternary", |value: Value, yes: Value, no: Value| if value.is_true() { yes } else { no });
    environment.add_filter("dict2items", dict2items);
    environment.add_filter("items2dict", items2dict);
    environment.add_test("match", |text: &str, pattern: &str| {
        Ok::<_, Error>(compile(&format!("^(?:{pattern})"))?.is_match(text))
    });
    environment
        .add_test("search", |text: &str, pattern: &str| Ok::<_, Error>(compile(pattern)?.is_match(text)));
    environment.add_test("version", version);
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn json(value: &Value, nice: bool) -> Result<String, Error> {
    let text = if nice { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    text.map_err(|error| refuse(format!("this cannot be written as JSON: {error}")))
}

/// Block style, without the newline at the end: `{{ value | to_yaml }}` stands on a line of its own.
fn yaml(value: Value) -> Result<String, Error> {
    let text = serde_yaml::to_string(&value);
    let text = text.map_err(|error| refuse(format!("this cannot be written as YAML: {error}")))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

fn from_json(text: &str) -> Result<Value, Error> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| refuse(format!("this is not JSON: {error}")))?;
    Ok(Value::from(minijinja::value::Serde(value)))
}

fn from_yaml(text: &str) -> Result<Value, Error> {
    let value: serde_yaml::Value =
        serde_yaml::from_str(text).map_err(|error| refuse(format!("this is not YAML: {error}")))?;
    Ok(Value::from(minijinja::value::Serde(value)))
}

fn b64decode(text: &str) -> Result<String, Error> {
    let bytes = BASE64_STANDARD
        .decode(text.trim())
        .map_err(|error| refuse(format!("this is not base64: {error}")))?;
    String::from_utf8(bytes).map_err(|_| refuse("what was encoded is not UTF-8 text".into()))
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(text.as_bytes()))
}

fn hash(text: &str, algorithm: &str) -> Result<String, Error> {
    use sha2::Digest as _;
    match algorithm {
        "sha256" => Ok(sha256(text)),
        "sha224" => Ok(hex(&sha2::Sha224::digest(text.as_bytes()))),
        "sha384" => Ok(hex(&sha2::Sha384::digest(text.as_bytes()))),
        "sha512" => Ok(hex(&sha2::Sha512::digest(text.as_bytes()))),
        "blake3" => Ok(blake3::hash(text.as_bytes()).to_string()),
        other => {
            Err(refuse(format!("`{other}` is not a hash: sha224, sha256, sha384, sha512 and blake3 are")))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Quotes for a POSIX shell, where that is needed.
fn quote(value: Value) -> String {
    let text = value.to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Puts `# ` (or the given mark) before every line.
fn comment(text: &str, mark: Option<&str>) -> String {
    let mark = mark.unwrap_or("#");
    let lines = text.lines().map(|line| format!("{mark} {line}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

fn compile(pattern: &str) -> Result<Regex, Error> {
    Regex::new(pattern).map_err(|error| refuse(format!("{pattern:?} is not a regular expression: {error}")))
}

/// Groups in the replacement are written `\1` (as in Python) or `$1`.
fn regex_replace(text: &str, pattern: &str, replacement: &str) -> Result<String, Error> {
    static GROUP: std::sync::LazyLock<Regex> =
        std::sync::LazyLock::new(|| Regex::new(r"\\(\d+|g<(\w+)>)").expect("a constant pattern"));
    let replacement = GROUP.replace_all(replacement, |found: &regex::Captures<'_>| {
        format!("${{{}}}", found.get(2).map_or(&found[1], |name| name.as_str()))
    });
    Ok(compile(pattern)?.replace_all(text, replacement.as_ref()).into_owned())
}

/// The first match (its first group where the pattern has one), or none.
fn regex_search(text: &str, pattern: &str) -> Result<Option<String>, Error> {
    let found = compile(pattern)?.captures(text).map(|found| {
        let part = found.get(1).or(found.get(0));
        part.map_or_else(String::new, |part| part.as_str().to_owned())
    });
    Ok(found)
}

fn regex_findall(text: &str, pattern: &str) -> Result<Vec<String>, Error> {
    let pattern = compile(pattern)?;
    let found = pattern.captures_iter(text).map(|found| {
        let part = found.get(1).or(found.get(0));
        part.map_or_else(String::new, |part| part.as_str().to_owned())
    });
    Ok(found.collect())
}

fn dirname(path: &str) -> String {
    let path = path.trim_end_matches('/');
    match path.rfind('/') {
        Some(0) => "/".into(),
        Some(end) => path[..end].to_owned(),
        None => String::new(),
    }
}

/// Joins maps; later ones win. `recursive=true` joins maps inside of them too.
fn combine(first: Value, others: minijinja::value::Rest<Value>, options: Kwargs) -> Result<Value, Error> {
    let recursive = options.get::<Option<bool>>("recursive")?.unwrap_or(false);
    options.assert_all_used()?;
    others.iter().try_fold(first, |left, right| join_maps(&left, right, recursive))
}

fn join_maps(left: &Value, right: &Value, recursive: bool) -> Result<Value, Error> {
    for side in [left, right] {
        if side.kind() != ValueKind::Map {
            return Err(refuse(format!("`combine` joins maps, not {}", side.kind())));
        }
    }
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    for key in left.try_iter()?.chain(right.try_iter()?) {
        if pairs.iter().any(|(known, _)| *known == key) {
            continue;
        }
        let (old, new) = (left.get_item(&key)?, right.get_item(&key)?);
        let both_maps = old.kind() == ValueKind::Map && new.kind() == ValueKind::Map;
        let value = if new.is_undefined() {
            old
        } else if recursive && both_maps {
            join_maps(&old, &new, true)?
        } else {
            new
        };
        pairs.push((key, value));
    }
    Ok(Value::from_pairs(pairs))
}

fn flatten(list: Value) -> Result<Vec<Value>, Error> {
    let mut flat = Vec::new();
    for item in list.try_iter()? {
        if item.kind() == ValueKind::Seq { flat.extend(flatten(item)?) } else { flat.push(item) }
    }
    Ok(flat)
}

fn distinct(values: impl Iterator<Item = Value>) -> Vec<Value> {
    values.fold(Vec::new(), |mut all, value| {
        if !all.contains(&value) {
            all.push(value);
        }
        all
    })
}

fn dict2items(map: Value) -> Result<Vec<Value>, Error> {
    map.try_iter()?
        .map(|key| {
            let value = map.get_item(&key)?;
            Ok(Value::from_pairs([("key", key), ("value", value)]))
        })
        .collect()
}

fn items2dict(list: Value) -> Result<Value, Error> {
    let pairs: Vec<(Value, Value)> = list
        .try_iter()?
        .map(|item| Ok((item.get_attr("key")?, item.get_attr("value")?)))
        .collect::<Result<_, Error>>()?;
    Ok(Value::from_pairs(pairs))
}

/// Compares versions part by part, numbers as numbers: `node.os.version is version("12", ">=")`.
fn version(left: Value, right: Value, operator: Option<&str>) -> Result<bool, Error> {
    let order = version_parts(&left.to_string()).cmp(&version_parts(&right.to_string()));
    Ok(match operator.unwrap_or("==") {
        "==" | "=" | "eq" => order.is_eq(),
        "!=" | "ne" => order.is_ne(),
        "<" | "lt" => order.is_lt(),
        "<=" | "le" => order.is_le(),
        ">" | "gt" => order.is_gt(),
        ">=" | "ge" => order.is_ge(),
        other => {
            return Err(refuse(format!("{other:?} does not compare versions: <, <=, ==, !=, >= and > do")));
        }
    })
}

fn version_parts(text: &str) -> Vec<(u64, String)> {
    let mut parts: Vec<(u64, String)> = text
        .trim_start_matches('v')
        .split(['.', '-', '_', '+', '~'])
        .map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            (part[..digits].parse().unwrap_or(0), part[digits..].to_owned())
        })
        .collect();
    while parts.last().is_some_and(|(number, rest)| *number == 0 && rest.is_empty()) {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::environment::BASE;

    #[test]
    fn each_filter_does_what_its_name_says() {
        for (text, wanted) in [
            ("{{ {'a': [1, true, none]} | to_json }}", r#"{"a":[1,true,null]}"#),
            ("{{ {'a': 1} | to_nice_json }}", "{\n  \"a\": 1\n}"),
            ("{{ {'b': 1, 'a': ['x']} | to_yaml }}", "b: 1\na:\n- x"),
            ("{{ ('{\"a\": 5}' | from_json).a }}", "5"),
            ("{{ ('a: [1, 2]' | from_yaml).a[1] }}", "2"),
            ("{{ 'hé' | b64encode | b64decode }}", "hé"),
            ("{{ '' | sha256 }}", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("{{ \"it's\" | quote }} {{ 'plain' | quote }} {{ '' | quote }}", r"'it'\''s' plain ''"),
            ("{{ 'a\n\nb' | comment }}", "# a\n#\n# b"),
            (r"{{ 'web-12' | regex_replace('^(\w+)-(\d+)$', '\\2.\\1') }}", "12.web"),
            (r"{{ 'port=80' | regex_search('=(\d+)') }}", "80"),
            (r"{{ 'a1b22' | regex_findall('\d+') | join(',') }}", "1,22"),
            ("{{ '/a/b/c.conf' | basename }} {{ '/a/b' | dirname }} {{ '/a' | dirname }}", "c.conf /a /"),
            (
                "{{ {'a': {'x': 1}, 'b': 1} | combine({'a': {'y': 2}}, recursive=true) | to_json }}",
                r#"{"a":{"x":1,"y":2},"b":1}"#,
            ),
            ("{{ [1, [2, [3]]] | flatten | to_json }}", "[1,2,3]"),
            ("{{ [1, 2] | union([2, 3]) | to_json }}", "[1,2,3]"),
            ("{{ [1, 2] | difference([2]) | to_json }} {{ [1, 2] | intersect([2]) | to_json }}", "[1] [2]"),
            ("{{ true | ternary('a', 'b') }}", "a"),
            ("{{ {'a': 1} | dict2items | items2dict | to_json }}", r#"{"a":1}"#),
            (
                "{{ '12' is version('9', '>') }} {{ '1.10' is version('1.9', '<') }} {{ '1.0' is version('1') }}",
                "true false true",
            ),
            ("{{ 'abc' is match('b') }} {{ 'abc' is search('b') }}", "false true"),
            ("{{ 'a b'.split(' ') | last }}", "b"),
        ] {
            assert_eq!(BASE.render_str(text, ()).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn wrong_input_is_told() {
        for text in [
            "{{ '%' | b64decode }}",
            "{{ 'x' | hash('md5') }}",
            "{{ 'x' | regex_search('(') }}",
            "{{ '1' is version('1', '~') }}",
        ] {
            assert!(BASE.render_str(text, ()).is_err(), "{text}");
        }
    }
}
