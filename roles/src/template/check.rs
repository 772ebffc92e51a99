//! Goes through a parsed template: every name it uses is known, or is told with its exact place.

use std::{collections::HashSet, ops::Range};

use cm_syntax::{Diagnostic, Diagnostics, Sources, nearest};
use minijinja::{
    Value,
    machinery::{
        Span as TemplateSpan,
        ast::{Call, CallArg, CallType, Expr, Macro, Stmt},
    },
    value::ValueKind,
};

use super::{
    Origin, Scope, Uses,
    environment::{FILTERS, GLOBALS, TESTS},
    names::{FACTS, GROUP, HOST, OTHER_HOST, ROOTS},
};

/// Checks a template's statements (or one expression) and gathers what it uses.
pub(super) struct Checker<'a, 'd> {
    pub source: &'a str,
    pub scope: Scope<'d>,
    pub origin: &'d Origin,
    pub sources: &'d Sources,
    pub diagnostics: &'d mut Diagnostics,
    pub uses: Uses,
    /// Names that the template itself defines, innermost last.
    frames: Vec<HashSet<&'a str>>,
    /// Inside of `default` or `is defined`: what is not there is handled.
    lenient: bool,
    /// A secret was named since this was last cleared.
    secret: bool,
}

/// Filters that leave a text as it is, or nearly.
const KEEPING: &[&str] = &["default", "d", "trim", "string", "safe", "indent"];

/// One step from a value to a part of it.
struct Step<'a> {
    name: &'a str,
    range: Range<usize>,
}

impl<'a, 'd> Checker<'a, 'd> {
    pub fn new(
        source: &'a str,
        scope: Scope<'d>,
        origin: &'d Origin,
        sources: &'d Sources,
        diagnostics: &'d mut Diagnostics,
    ) -> Self {
        let frames = vec![HashSet::new()];
        Self {
            source,
            scope,
            origin,
            sources,
            diagnostics,
            uses: Uses::default(),
            frames,
            lenient: false,
            secret: false,
        }
    }

    fn tell(&mut self, range: Range<usize>, message: String, label: &str, near: Option<&str>) {
        let place = self.origin.span(self.sources, range);
        self.diagnostics.push(Diagnostic::error(message).at(place, label).did_you_mean(near));
    }

    /// Where a word of the template stands; words are slices of the source.
    fn range_of(&self, word: &str, within: TemplateSpan) -> Range<usize> {
        let start = (word.as_ptr() as usize).wrapping_sub(self.source.as_ptr() as usize);
        if start.checked_add(word.len()).is_some_and(|end| end <= self.source.len()) {
            start..start + word.len()
        } else {
            range(within)
        }
    }

    fn is_local(&self, name: &str) -> bool {
        self.frames.iter().any(|frame| frame.contains(name))
    }

    fn define(&mut self, name: &'a str) {
        if let Some(frame) = self.frames.last_mut() {
            frame.insert(name);
        }
    }

    /// Makes names of an assignment's left side known.
    fn assign(&mut self, target: &Expr<'a>) {
        match target {
            Expr::Var(var) => self.define(var.id),
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item)),
            // `set namespace.field = …` changes what is there already.
            other => self.expression(other),
        }
    }

    fn scoped(&mut self, work: impl FnOnce(&mut Self)) {
        self.frames.push(HashSet::new());
        work(self);
        self.frames.pop();
    }

    fn all(&mut self, statements: &[Stmt<'a>]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    pub fn statement(&mut self, statement: &Stmt<'a>) {
        match statement {
            Stmt::Template(template) => self.all(&template.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
            Stmt::ForLoop(each) => {
                self.expression(&each.iter);
                self.scoped(|checker| {
                    checker.define("loop");
                    checker.assign(&each.target);
                    each.filter_expr.iter().for_each(|filter| checker.expression(filter));
                    checker.all(&each.body);
                });
                self.scoped(|checker| checker.all(&each.else_body));
            }
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr);
                self.all(&condition.true_body);
                self.all(&condition.false_body);
            }
            Stmt::WithBlock(with) => self.scoped(|checker| {
                for (target, value) in &with.assignments {
                    checker.expression(value);
                    checker.assign(target);
                }
                checker.all(&with.body);
            }),
            Stmt::Set(set) => {
                self.expression(&set.expr);
                self.assign(&set.target);
            }
            Stmt::SetBlock(set) => {
                set.filter.iter().for_each(|filter| self.expression(filter));
                self.scoped(|checker| checker.all(&set.body));
                self.assign(&set.target);
            }
            Stmt::AutoEscape(block) => {
                self.expression(&block.enabled);
                self.all(&block.body);
            }
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter);
                self.scoped(|checker| checker.all(&block.body));
            }
            Stmt::Block(block) => self.scoped(|checker| {
                checker.define("self");
                checker.define("super");
                checker.all(&block.body);
            }),
            Stmt::Extends(extends) => self.template_name(&extends.name),
            Stmt::Include(include) => self.template_name(&include.name),
            Stmt::Import(import) => {
                self.template_name(&import.expr);
                self.assign(&import.name);
            }
            Stmt::FromImport(import) => {
                self.template_name(&import.expr);
                for (name, alias) in &import.names {
                    self.assign(alias.as_ref().unwrap_or(name));
                }
            }
            Stmt::Macro(declared) => {
                self.define(declared.name);
                self.macro_body(declared);
            }
            Stmt::CallBlock(block) => {
                self.call(&block.call);
                self.macro_body(&block.macro_decl);
            }
            Stmt::Do(statement) => self.call(&statement.call),
        }
    }

    fn macro_body(&mut self, declared: &Macro<'a>) {
        declared.defaults.iter().for_each(|value| self.expression(value));
        self.scoped(|checker| {
            checker.define("caller");
            declared.args.iter().for_each(|arg| checker.assign(arg));
            checker.all(&declared.body);
        });
    }

    fn template_name(&mut self, name: &Expr<'a>) {
        match name {
            Expr::Const(constant) => {
                let names: Vec<String> = match constant.value.kind() {
                    ValueKind::String => vec![constant.value.to_string()],
                    _ => Vec::new(),
                };
                self.uses.templates.extend(names);
            }
            other => self.expression(other),
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'a>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => self.expression(value),
            }
        }
    }

    fn call(&mut self, call: &Call<'a>) {
        match call.identify_call() {
            CallType::Function(name) => {
                let known = self.is_local(name) || GLOBALS.contains(&name) || name == "super";
                if !known && !self.is_variable(name) {
                    let near = nearest(name, GLOBALS.iter().copied()).map(str::to_owned);
                    let range = self.range_of(name, call.expr.span());
                    let message = format!("unknown function `{name}`");
                    self.tell(range, message, "not a function of templates", near.as_deref());
                } else if !known {
                    self.expression(&call.expr);
                }
            }
            CallType::Method(object, _) => self.expression(object),
            CallType::Block(_) => {}
            CallType::Object(object) => self.expression(object),
        }
        self.arguments(&call.args);
    }

    /// Notes whether what `work` goes through is a secret that then is printed in another form.
    fn changing(&mut self, changes: bool, work: impl FnOnce(&mut Self)) {
        let before = std::mem::take(&mut self.secret);
        work(self);
        self.uses.secrets_changed |= self.secret && changes;
        self.secret |= before;
    }

    fn leniently(&mut self, work: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.lenient, true);
        work(self);
        self.lenient = before;
    }

    pub fn expression(&mut self, expression: &Expr<'a>) {
        match expression {
            Expr::Const(_) => {}
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) => self.path(expression),
            Expr::Slice(slice) => {
                self.changing(true, |checker| checker.expression(&slice.expr));
                [&slice.start, &slice.stop, &slice.step]
                    .into_iter()
                    .flatten()
                    .for_each(|bound| self.expression(bound));
            }
            Expr::UnaryOp(operation) => self.expression(&operation.expr),
            Expr::BinOp(operation) => {
                self.expression(&operation.left);
                self.expression(&operation.right);
            }
            Expr::Compare(comparison) => {
                self.expression(&comparison.expr);
                comparison.ops.iter().for_each(|operand| self.expression(&operand.expr));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                self.expression(&choice.true_expr);
                choice.false_expr.iter().for_each(|value| self.expression(value));
            }
            Expr::Filter(filter) => {
                if !FILTERS.contains(&filter.name) {
                    let near = nearest(filter.name, FILTERS.iter().copied()).map(str::to_owned);
                    let range = self.range_of(filter.name, filter.span());
                    self.tell(
                        range,
                        format!("unknown filter `{}`", filter.name),
                        "not a filter",
                        near.as_deref(),
                    );
                }
                self.changing(!KEEPING.contains(&filter.name), |checker| {
                    if let Some(value) = &filter.expr {
                        if matches!(filter.name, "default" | "d") {
                            checker.leniently(|checker| checker.expression(value));
                        } else {
                            checker.expression(value);
                        }
                    }
                    checker.arguments(&filter.args);
                });
            }
            Expr::Test(test) => {
                if !TESTS.contains(&test.name) && !"=<>!".contains(test.name.chars().next().unwrap_or(' ')) {
                    let near = nearest(test.name, TESTS.iter().copied()).map(str::to_owned);
                    let range = self.range_of(test.name, test.span());
                    self.tell(range, format!("unknown test `{}`", test.name), "not a test", near.as_deref());
                }
                if matches!(test.name, "defined" | "undefined") {
                    self.leniently(|checker| checker.expression(&test.expr));
                } else {
                    self.expression(&test.expr);
                }
                self.arguments(&test.args);
            }
            Expr::Call(call) => self.changing(true, |checker| checker.call(call)),
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(map) => {
                map.keys.iter().chain(&map.values).for_each(|part| self.expression(part));
            }
        }
    }

    /// A variable and the parts of it that are asked for: `hosts.web1.facts.os`.
    fn path(&mut self, expression: &Expr<'a>) {
        let mut steps = Vec::new();
        let mut current = expression;
        // Whether `steps` still leads on from `current` without a gap (a computed subscript).
        loop {
            match current {
                Expr::GetAttr(attribute) => {
                    let range = self.range_of(attribute.name, attribute.span());
                    steps.push(Step { name: attribute.name, range });
                    current = &attribute.expr;
                }
                Expr::GetItem(item) => {
                    match constant_text(&item.subscript_expr, self.source) {
                        Some(name) => steps.push(Step { name, range: range(item.subscript_expr.span()) }),
                        None => {
                            self.expression(&item.subscript_expr);
                            // What follows a computed part cannot be told apart.
                            if steps.iter().any(|step| step.name == "facts") {
                                self.uses.other_facts = true;
                            }
                            steps.clear();
                        }
                    }
                    current = &item.expr;
                }
                Expr::Var(var) => {
                    steps.reverse();
                    if steps.iter().any(|step| step.name == "facts") {
                        // Through a loop's variable or `hosts` itself; reading facts in vain costs little.
                        self.uses.other_facts = true;
                    }
                    let range = self.range_of(var.id, var.span());
                    return self.name(var.id, range, &steps, matches!(expression, Expr::Var(_)));
                }
                other => return self.expression(other),
            }
        }
    }

    fn is_variable(&self, name: &str) -> bool {
        ROOTS.contains(&name)
            || self.scope.params.contains(name)
            || self.scope.world.variables.contains(name)
            || (name == "item" && self.scope.item)
    }

    fn name(&mut self, name: &str, range: Range<usize>, steps: &[Step<'_>], bare: bool) {
        if self.is_local(name) || GLOBALS.contains(&name) {
            return;
        }
        match name {
            "item" if self.scope.item => self.uses.item = true,
            "node" => {
                self.uses.node = true;
                self.facts(steps);
            }
            "host" => self.host(steps, HOST),
            "hosts" => {
                self.uses.other_facts |= bare;
                self.member(steps, "host", |scope| &scope.world.hosts, Self::other_host);
            }
            "groups" => self.member(
                steps,
                "group",
                |scope| &scope.world.groups,
                |checker, steps| {
                    checker.field(steps, "a group", GROUP);
                },
            ),
            "secrets" => {
                self.uses.secrets = true;
                self.secret = true;
                self.member(steps, "secret", |scope| &scope.world.secrets, |_, _| {});
            }
            _ if self.scope.params.contains(name) || self.scope.world.variables.contains(name) => {
                self.uses.variables.insert(name.to_owned());
                self.secret |= self.scope.world.secret_variables.contains(name);
            }
            _ if self.lenient => {}
            "item" => {
                self.tell(range, "`item` is there only in a task with `each`".into(), "no `each` here", None)
            }
            _ => {
                let scope = self.scope;
                let known = scope.params.iter().chain(&scope.world.variables).map(String::as_str);
                let near =
                    nearest(name, known.chain(ROOTS.iter().copied()).chain(scope.item.then_some("item")));
                self.tell(
                    range,
                    format!("unknown variable `{name}`"),
                    "not a parameter of this role, nor a variable of any host or group",
                    near,
                );
            }
        }
    }

    /// A part named after something of the inventory; `then` checks what follows it.
    fn member(
        &mut self,
        steps: &[Step<'_>],
        what: &str,
        known: impl Fn(&Scope<'d>) -> &'d std::collections::BTreeSet<String>,
        then: impl FnOnce(&mut Self, &[Step<'_>]),
    ) {
        let Some((first, rest)) = steps.split_first() else { return };
        let known = known(&self.scope);
        if known.contains(first.name) {
            then(self, rest);
        } else if !self.lenient {
            let near = nearest(first.name, known.iter().map(String::as_str));
            let message = format!("unknown {what} `{}`", first.name);
            self.tell(first.range.clone(), message, &format!("there is no such {what}"), near);
        }
    }

    fn other_host(&mut self, steps: &[Step<'_>]) {
        if let Some((first, rest)) = steps.split_first()
            && first.name == "facts"
        {
            return self.facts(rest);
        }
        self.host(steps, OTHER_HOST);
    }

    fn host(&mut self, steps: &[Step<'_>], fields: &[&str]) {
        self.field(steps, "a host", fields);
        if let [first, second, ..] = steps
            && first.name == "vars"
            && !self.lenient
            && !self.scope.world.variables.contains(second.name)
        {
            let near = nearest(second.name, self.scope.world.variables.iter().map(String::as_str));
            let message = format!("unknown variable `{}`", second.name);
            self.tell(second.range.clone(), message, "not a variable of any host or group", near);
        }
    }

    fn field(&mut self, steps: &[Step<'_>], of: &str, fields: &[&str]) {
        let Some(first) = steps.first() else { return };
        if !fields.contains(&first.name) && !self.lenient {
            let near = nearest(first.name, fields.iter().copied());
            let message = format!("{of} has no `{}`", first.name);
            self.tell(first.range.clone(), message, &format!("it has {}", fields.join(", ")), near);
        }
    }

    fn facts(&mut self, steps: &[Step<'_>]) {
        let mut shape: &serde_json::Value = &FACTS;
        for step in steps {
            let serde_json::Value::Object(fields) = shape else { return };
            match fields.get(step.name) {
                Some(inner) => shape = inner,
                None if self.lenient => return,
                None => {
                    let near = nearest(step.name, fields.keys().map(String::as_str));
                    let message = format!("unknown fact `{}`", step.name);
                    return self.tell(step.range.clone(), message, "nodes do not report this", near);
                }
            }
        }
    }
}

fn range(span: TemplateSpan) -> Range<usize> {
    span.start_offset as usize..span.end_offset as usize
}

/// The text of a constant subscript, as a slice of the source: `hosts["web1"]`.
fn constant_text<'a>(expression: &Expr<'_>, source: &'a str) -> Option<&'a str> {
    let Expr::Const(constant) = expression else { return None };
    let value: &Value = &constant.value;
    let text = value.as_str()?;
    let place = source.get(range(constant.span()))?;
    let inner = place.trim_matches(['"', '\'']);
    (inner == text).then_some(inner)
}
