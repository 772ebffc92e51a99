//! Which groups a rule names: `groups.NAME`, and texts that are compared with `host.groups`.

use std::collections::BTreeSet;

use minijinja::{
    Value,
    machinery::{
        self,
        ast::{CallArg, Expr},
    },
};

/// The names of groups in a rule. What cannot be read names none; that it cannot be read is told elsewhere.
pub(super) fn groups(rule: &str) -> BTreeSet<String> {
    let inside = rule.trim();
    let inside = inside.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(inside);
    let mut found = BTreeSet::new();
    if let Ok(expression) = machinery::parse_expr(inside) {
        visit(&expression, &mut found);
    }
    found
}

fn visit(expression: &Expr<'_>, found: &mut BTreeSet<String>) {
    match expression {
        Expr::GetAttr(part) if is_variable(&part.expr, "groups") => {
            found.insert(part.name.to_owned());
        }
        Expr::GetItem(part) if is_variable(&part.expr, "groups") => {
            found.extend(text(&part.subscript_expr));
        }
        _ => {}
    }
    let parts = parts(expression);
    // Whatever is done with `host.groups`, texts beside it are names of groups, or do no harm.
    if parts.iter().any(|part| is_groups_of_host(part)) {
        for part in &parts {
            texts(part, found);
        }
    }
    parts.into_iter().for_each(|part| visit(part, found));
}

fn is_variable(expression: &Expr<'_>, name: &str) -> bool {
    matches!(expression, Expr::Var(variable) if variable.id == name)
}

/// `host.groups`, also behind filters.
fn is_groups_of_host(expression: &Expr<'_>) -> bool {
    match expression {
        Expr::GetAttr(part) => part.name == "groups" && is_variable(&part.expr, "host"),
        Expr::GetItem(part) => {
            text(&part.subscript_expr).as_deref() == Some("groups") && is_variable(&part.expr, "host")
        }
        Expr::Filter(filter) => filter.expr.as_ref().is_some_and(|inner| is_groups_of_host(inner)),
        _ => false,
    }
}

fn text(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Const(constant) => Value::as_str(&constant.value).map(str::to_owned),
        _ => None,
    }
}

/// A text, or all texts of a list.
fn texts(expression: &Expr<'_>, found: &mut BTreeSet<String>) {
    match expression {
        Expr::List(list) => list.items.iter().for_each(|item| texts(item, found)),
        Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| texts(item, found)),
        other => found.extend(text(other)),
    }
}

/// What an expression is made of.
fn parts<'e, 'a>(expression: &'e Expr<'a>) -> Vec<&'e Expr<'a>> {
    let arguments = |arguments: &'e [CallArg<'a>]| {
        arguments.iter().map(|argument| match argument {
            CallArg::Pos(value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value) => value,
            CallArg::Kwarg(_, value) => value,
        })
    };
    match expression {
        Expr::Const(_) | Expr::Var(_) => Vec::new(),
        Expr::GetAttr(part) => vec![&part.expr],
        Expr::GetItem(part) => vec![&part.expr, &part.subscript_expr],
        Expr::Slice(slice) => {
            [Some(&slice.expr), slice.start.as_ref(), slice.stop.as_ref(), slice.step.as_ref()]
                .into_iter()
                .flatten()
                .collect()
        }
        Expr::UnaryOp(operation) => vec![&operation.expr],
        Expr::BinOp(operation) => vec![&operation.left, &operation.right],
        Expr::Compare(comparison) => std::iter::once(&comparison.expr)
            .chain(comparison.ops.iter().map(|operand| &operand.expr))
            .collect(),
        Expr::IfExpr(choice) => {
            [Some(&choice.test_expr), Some(&choice.true_expr), choice.false_expr.as_ref()]
                .into_iter()
                .flatten()
                .collect()
        }
        Expr::Filter(filter) => filter.expr.iter().chain(arguments(&filter.args)).collect(),
        Expr::Test(test) => std::iter::once(&test.expr).chain(arguments(&test.args)).collect(),
        Expr::Call(call) => std::iter::once(&call.expr).chain(arguments(&call.args)).collect(),
        Expr::List(list) => list.items.iter().collect(),
        Expr::Tuple(tuple) => tuple.items.iter().collect(),
        Expr::Map(map) => map.keys.iter().chain(&map.values).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_in_two_ways() {
        let named = |rule: &str| groups(rule).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(named("'web' in host.groups and node.os.family == 'debian'"), "web");
        assert_eq!(named("host.name in groups.db.hosts or host.name in groups['x-y'].hosts"), "db x-y");
        assert_eq!(named("{{ 'a' not in host['groups'] }}"), "a");
        assert_eq!(named("host.groups | intersect(['a', 'b']) | length > 0"), "a b");
        assert_eq!(named("node.os.family == 'debian'"), "");
        assert_eq!(named("not ("), "");
    }
}
