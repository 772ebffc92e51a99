//! The small language of `changed_when` and `failed_when`: what a command's result says.
//!
//! Names: `status` (a number), `stdout`, `stderr` (texts). Values: numbers, quoted texts, lists of them in
//! brackets, `true`, `false`. Operators, weakest first: `or`; `and`; `not`; `==` `!=` `<` `<=` `>` `>=` `in`
//! `not in`. Parentheses group. `in` looks for a text in a text, or for a value in a list.
//!
//! ```text
//! 'created' in stdout and status in [0, 2]
//! ```
//!
//! Types are checked when it is read, so that it cannot fail after the command has run.

use cm_wire::Output;

/// A condition over the result of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Constant(bool),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Numbers(Number, Ordering, Number),
    Texts(Text, Ordering, Text),
    Within(Text, Text),
    NumberAmong(Number, Vec<Number>),
    TextAmong(Text, Vec<Text>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ordering {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Status,
    Literal(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text {
    Stdout,
    Stderr,
    Literal(String),
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// A fragment that says what is wrong where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text)?, next: 0 };
        let condition = parser.any()?;
        match parser.peek() {
            None => Ok(condition),
            Some(token) => Err(format!("does not go on with {}", token.show())),
        }
    }

    /// Whether it holds.
    pub(super) fn holds(&self, output: &Output) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Not(inner) => !inner.holds(output),
            Self::And(left, right) => left.holds(output) && right.holds(output),
            Self::Or(left, right) => left.holds(output) || right.holds(output),
            Self::Numbers(left, ordering, right) => ordering.holds(&left.value(output), &right.value(output)),
            Self::Texts(left, ordering, right) => ordering.holds(left.value(output), right.value(output)),
            Self::Within(part, whole) => whole.value(output).contains(part.value(output)),
            Self::NumberAmong(value, list) => {
                list.iter().any(|item| item.value(output) == value.value(output))
            }
            Self::TextAmong(value, list) => list.iter().any(|item| item.value(output) == value.value(output)),
        }
    }
}

impl Ordering {
    fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterEqual => left >= right,
        }
    }
}

impl Number {
    fn value(self, output: &Output) -> i64 {
        match self {
            Self::Status => output.status.into(),
            Self::Literal(number) => number,
        }
    }
}

impl Text {
    fn value<'a>(&'a self, output: &'a Output) -> &'a str {
        match self {
            Self::Stdout => &output.stdout,
            Self::Stderr => &output.stderr,
            Self::Literal(text) => text,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Number(i64),
    Quoted(String),
    Sign(&'static str),
}

impl Token {
    fn show(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Number(number) => format!("`{number}`"),
            Self::Quoted(text) => format!("{text:?}"),
            Self::Sign(sign) => format!("`{sign}`"),
        }
    }
}

/// Signs, longer ones before those they begin with.
const SIGNS: &[&str] = &["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ","];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            sign.len()
        } else if first == '\'' || first == '"' {
            let (quoted, length) = quoted(rest, first)?;
            tokens.push(Token::Quoted(quoted));
            length
        } else if first.is_ascii_digit() || first == '-' {
            let end = rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| end + 1);
            let number = &rest[..end];
            tokens.push(Token::Number(
                number.parse().map_err(|_| format!("{number:?} is not a whole number"))?,
            ));
            end
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            end
        } else {
            return Err(format!("has a {first:?} that means nothing here"));
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// A quoted text and its length with quotes; `\` takes the meaning of the next character away, `\n` and
/// `\t` are what they always are.
fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            _ if character == quote => return Ok((value, at + 1)),
            _ => value.push(character),
        }
    }
    Err(format!("has a quote {quote} that is not closed"))
}

/// A value on one side of an operator.
enum Operand {
    Number(Number),
    Text(Text),
    List(Vec<Operand>),
    Bool(bool),
}

impl Operand {
    fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Bool(_) => "a truth value",
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(next)) if next == word);
        self.next += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.next += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut left = self.all()?;
        while self.take_word("or") {
            left = Condition::Or(Box::new(left), Box::new(self.all()?));
        }
        Ok(left)
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut left = self.negated()?;
        while self.take_word("and") {
            left = Condition::And(Box::new(left), Box::new(self.negated()?));
        }
        Ok(left)
    }

    fn negated(&mut self) -> Result<Condition, String> {
        if self.take_word("not") {
            return Ok(Condition::Not(Box::new(self.negated()?)));
        }
        if self.take_sign("(") {
            let inner = self.any()?;
            return if self.take_sign(")") { Ok(inner) } else { Err("has a `(` that is not closed".into()) };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Condition, String> {
        let left = self.operand()?;
        let ordering = match self.peek() {
            Some(Token::Sign("==")) => Some(Ordering::Equal),
            Some(Token::Sign("!=")) => Some(Ordering::NotEqual),
            Some(Token::Sign("<")) => Some(Ordering::Less),
            Some(Token::Sign("<=")) => Some(Ordering::LessEqual),
            Some(Token::Sign(">")) => Some(Ordering::Greater),
            Some(Token::Sign(">=")) => Some(Ordering::GreaterEqual),
            _ => None,
        };
        if let Some(ordering) = ordering {
            self.next += 1;
            return match (left, self.operand()?) {
                (Operand::Number(left), Operand::Number(right)) => {
                    Ok(Condition::Numbers(left, ordering, right))
                }
                (Operand::Text(left), Operand::Text(right)) => Ok(Condition::Texts(left, ordering, right)),
                (left, right) => Err(format!("compares {} with {}", left.kind(), right.kind())),
            };
        }
        if self.take_word("in") {
            return self.membership(left);
        }
        if self.take_word("not") {
            if self.take_word("in") {
                return Ok(Condition::Not(Box::new(self.membership(left)?)));
            }
            return Err("wants `in` after this `not`".into());
        }
        match left {
            Operand::Bool(value) => Ok(Condition::Constant(value)),
            other => Err(format!("has {} where something to compare it with is missing", other.kind())),
        }
    }

    fn membership(&mut self, left: Operand) -> Result<Condition, String> {
        match (left, self.operand()?) {
            (Operand::Text(part), Operand::Text(whole)) => Ok(Condition::Within(part, whole)),
            (Operand::Number(value), Operand::List(items)) => {
                let items = items.into_iter().map(|item| match item {
                    Operand::Number(number) => Ok(number),
                    other => Err(format!("looks for a number in a list with {}", other.kind())),
                });
                Ok(Condition::NumberAmong(value, items.collect::<Result<_, _>>()?))
            }
            (Operand::Text(value), Operand::List(items)) => {
                let items = items.into_iter().map(|item| match item {
                    Operand::Text(text) => Ok(text),
                    other => Err(format!("looks for a text in a list with {}", other.kind())),
                });
                Ok(Condition::TextAmong(value, items.collect::<Result<_, _>>()?))
            }
            (left, right) => Err(format!("looks for {} in {}", left.kind(), right.kind())),
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let token = self.peek().cloned().ok_or("ends where a value is missing")?;
        self.next += 1;
        match token {
            Token::Number(number) => Ok(Operand::Number(Number::Literal(number))),
            Token::Quoted(text) => Ok(Operand::Text(Text::Literal(text))),
            Token::Word(word) => match word.as_str() {
                "status" => Ok(Operand::Number(Number::Status)),
                "stdout" => Ok(Operand::Text(Text::Stdout)),
                "stderr" => Ok(Operand::Text(Text::Stderr)),
                "true" => Ok(Operand::Bool(true)),
                "false" => Ok(Operand::Bool(false)),
                other => Err(format!(
                    "names `{other}`; it knows `status`, `stdout` and `stderr`, and texts want quotes"
                )),
            },
            Token::Sign("[") => {
                let mut items = Vec::new();
                while !self.take_sign("]") {
                    if !items.is_empty() && !self.take_sign(",") {
                        return Err("has a list that is not closed".into());
                    }
                    items.push(self.operand()?);
                }
                Ok(Operand::List(items))
            }
            sign @ Token::Sign(_) => Err(format!("has {} where a value is missing", sign.show())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let output = Output { status: 2, stdout: "3 rows\ncreated".into(), stderr: "it's \"odd\"".into() };
        Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).holds(&output)
    }

    #[test]
    fn conditions_hold_or_not() {
        for text in [
            "status == 2",
            "status in [0, 2]",
            "'created' in stdout",
            "\"x\" not in stdout and not status == 0",
            "status == 0 or 'rows' in stdout",
            "not (status == 0 or status > 2)",
            "status >= 2 and status <= 2 and status != -1",
            r#"'it\'s' in stderr"#,
            r#""\"odd\"" in stderr"#,
            r"'rows\ncreated' in stdout",
            "stderr != ''",
            "true",
            "'a' in ['a', stdout]",
            "status == 0 and 'x' in stdout or true",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in ["false", "status == 0", "'x' in stdout", "status not in [2]", "not true", "stdout == ''"]
        {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_explained() {
        for (text, error) in [
            ("", "ends where a value is missing"),
            ("rc == 0", "names `rc`"),
            ("created in stdout", "texts want quotes"),
            ("status == '2'", "compares a number with a text"),
            ("'x' in status", "looks for a text in a number"),
            ("status in [0, 'a']", "a list with a text"),
            ("'x in stdout", "is not closed"),
            ("(status == 0", "is not closed"),
            ("status in [0 1]", "is not closed"),
            ("status == 0 status", "does not go on with `status`"),
            ("stdout", "something to compare it with is missing"),
            ("status = 0", "'='"),
            ("status not 0", "wants `in`"),
            ("status == 99999999999999999999", "is not a whole number"),
            ("'a' in stdout |", "'|'"),
            ("[", "ends where"),
        ] {
            let got = Condition::parse(text).unwrap_err();
            assert!(got.contains(error), "{text}: {got}");
        }
    }

    #[test]
    fn noise_never_panics() {
        let mut state = 7u32;
        let pieces = [
            "status", "stdout", "'ä'", "in", "not", "and", "(", ")", "[", "]", ",", "==", "1", "\"", "\\",
            " ", "-",
        ];
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..8 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text.push_str(pieces[(state >> 16) as usize % pieces.len()]);
            }
            let _ = Condition::parse(&text);
        }
    }
}
