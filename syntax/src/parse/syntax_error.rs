//! The parser's complaints in words that say what to do.

use granit_parser::{ErrorKind, ScanError};

use crate::{Diagnostic, FileId, Span};

/// Turns a syntax error into a diagnostic that underlines the character it was noticed at.
pub(super) fn explain(error: &ScanError, text: &str, file: FileId, base: u32) -> Diagnostic {
    let at = text.floor_char_boundary(error.marker().byte_offset().unwrap_or(text.len()).min(text.len()));
    let character = text[at..].chars().next().filter(|c| *c != '\n' && *c != '\r');
    let span = Span::new(file, base + at as u32, base + (at + character.map_or(0, char::len_utf8)) as u32);
    let line = &text[text[..at].rfind('\n').map_or(0, |newline| newline + 1)..];
    let line = line.lines().next().unwrap_or_default();

    let plain = |label: &str| Diagnostic::error("this is not valid YAML").at(span, label);
    let quotes = "if it is a text, put it in quotes: \"…\"";
    if line.contains("{{") || line.contains("{%") {
        let unquoted = [": {{", ": {%", "- {{", "- {%"].iter().any(|begin| line.contains(begin));
        if unquoted {
            return plain(&error.kind().to_string())
                .hint("a value that begins with `{{` or `{%` needs quotes: \"{{ … }}\"");
        }
    }
    match error.kind() {
        ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => {
            plain("a tab, where only spaces may stand").hint("indent with spaces; YAML does not allow tabs")
        }
        ErrorKind::MappingValueNotAllowed => plain("no `:` may stand here").hint(
            "a text that holds `: ` needs quotes; otherwise look whether this line is indented like its neighbours",
        ),
        ErrorKind::UnclosedQuotedScalar => plain("this quote is never closed"),
        ErrorKind::UnexpectedCharacter { character } => {
            plain(&format!("a text cannot begin with `{character}`")).hint(quotes)
        }
        ErrorKind::InvalidTrailingDoubleQuotedScalar | ErrorKind::InvalidTrailingSingleQuotedScalar => {
            plain("nothing may follow the closing quote").hint("put the whole value in quotes")
        }
        ErrorKind::ExpectedBlockMappingKey => plain("a `key: value` was expected here")
            .hint("look whether this line is indented like its neighbours, and whether a `:` is missing"),
        ErrorKind::ExpectedBlockSequenceEntry => plain("a `- item` was expected here")
            .hint("a list and a map cannot be mixed; look whether this line is indented like its neighbours"),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => plain("a `:` is missing after this key"),
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::UnclosedFlowCollection { open: '[' } => plain("a `,` or `]` was expected before this"),
        ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::UnclosedFlowCollection { open: '{' } => plain("a `,` or `}` was expected before this"),
        ErrorKind::InvalidColonPlacement => plain("no `:` may stand here").hint("is a `]` missing before this?"),
        ErrorKind::InvalidIndentation => plain("this line is not indented like its neighbours"),
        ErrorKind::RecursionLimitExceeded => Diagnostic::error("nested too deep").at(span, "this goes too far"),
        kind => plain(&kind.to_string()),
    }
}
