//! The template language as `cm` sets it up: strict, without escaping, with a limit on work.

use std::sync::LazyLock;

use minijinja::{
    AutoEscape, Environment, Output, State, UndefinedBehavior, Value, syntax::SyntaxConfig, value::ValueKind,
};

use super::filters;

/// Instructions one rendering may take: some hundred times what the largest real templates need, and
/// well under a second.
const FUEL: u64 = 20_000_000;

/// Names of filters, for the nearest one to a mistyped; `filters_are_all_listed` keeps it true.
pub(super) const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "b64decode",
    "b64encode",
    "basename",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "combine",
    "comment",
    "count",
    "d",
    "default",
    "dict2items",
    "dictsort",
    "difference",
    "dirname",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "flatten",
    "float",
    "format",
    "from_json",
    "from_yaml",
    "groupby",
    "hash",
    "indent",
    "int",
    "intersect",
    "items",
    "items2dict",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pluralize",
    "pprint",
    "quote",
    "regex_escape",
    "regex_findall",
    "regex_replace",
    "regex_search",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "sha256",
    "slice",
    "sort",
    "split",
    "splitlines",
    "string",
    "striptags",
    "sum",
    "ternary",
    "title",
    "to_json",
    "to_nice_json",
    "to_nice_yaml",
    "to_yaml",
    "tojson",
    "trim",
    "truncate",
    "union",
    "unique",
    "upper",
    "urlencode",
    "zip",
];

/// Names of tests, likewise.
pub(super) const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "match",
    "ne",
    "none",
    "number",
    "odd",
    "safe",
    "sameas",
    "search",
    "sequence",
    "startingwith",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
    "version",
];

/// Values every template has beside variables; all but [`OMIT`] are functions.
pub(super) const GLOBALS: &[&str] = &["cycler", "debug", "dict", "joiner", "namespace", "omit", "range"];

/// The name of the value that leaves a parameter out.
pub const OMIT: &str = "omit";

/// What `omit` is in a template: a parameter that renders to it is as if it were not written.
#[derive(Debug)]
pub struct Omit;

impl minijinja::value::Object for Omit {
    fn repr(self: &std::sync::Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }
}

/// The syntax of template files and of templates in values: a line that holds nothing but a block tag
/// leaves nothing behind, and the newline at the end of a file stays.
pub(super) fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .expect("the delimiters are the default ones")
}

/// The environment expressions are compiled in, and the start of every project's own.
pub(super) static BASE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    minijinja_contrib::add_to_environment(&mut environment);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_syntax(syntax());
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(print);
    environment.set_fuel(Some(FUEL));
    // Byte ranges of errors are kept only so.
    environment.set_debug(true);
    environment.add_global(OMIT, Value::from_object(Omit));
    filters::add(&mut environment);
    environment
});

/// Prints a value: as minijinja does, but `true` and `false` in lower case, as the files that are written
/// want them.
fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }).map_err(Into::into),
        _ => minijinja::escape_formatter(out, state, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> String {
        BASE.render_str(text, ()).unwrap()
    }

    #[test]
    fn filters_and_tests_are_all_listed() {
        for name in FILTERS {
            assert_eq!(render(&format!("{{{{ '{name}' is filter }}}}")), "true", "{name}");
        }
        for name in TESTS {
            assert_eq!(render(&format!("{{{{ '{name}' is test }}}}")), "true", "{name}");
        }
        let mut globals: Vec<&str> = BASE.globals().map(|(name, _)| name).collect();
        globals.sort_unstable();
        assert_eq!(globals, GLOBALS);
        let shown = format!("{:?}", *BASE);
        let filters = shown.split("filters: ").nth(1).unwrap().split('}').next().unwrap();
        for name in filters.split('"').skip(1).step_by(2) {
            assert!(FILTERS.contains(&name), "{name} is not listed");
        }
    }

    #[test]
    fn nothing_is_escaped_and_newlines_stay() {
        assert_eq!(render("{{ '<&\"' }}\n"), "<&\"\n");
        assert_eq!(render("a\n  {% if true %}\nb\n  {% endif %}\nc\n"), "a\nb\nc\n");
        assert_eq!(render("{{ true }} {{ 1 }}"), "true 1");
    }

    #[test]
    fn an_endless_loop_ends() {
        let error = BASE
            .render_str("{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}", ())
            .unwrap_err();
        assert_eq!(error.kind(), minijinja::ErrorKind::OutOfFuel);
    }
}
