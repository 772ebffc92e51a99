//! Splits a line into words as Python's `shlex.split(line, comments=True)` does: quotes, backslashes, comments.

use std::ops::Range;

/// One word and the bytes of the line it stands in, quotes included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Word {
    pub text: String,
    pub range: Range<usize>,
}

/// What is wrong with the quotes of a line.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum WordsError {
    #[error("a quote without its other one")]
    Unclosed,
    #[error("a backslash with nothing behind it")]
    Escape,
}

/// Splits a line. A `#` ends it, within a word too, but not in quotes.
pub(crate) fn split(line: &str) -> Result<Vec<Word>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut letters = line.char_indices();
    while let Some((at, letter)) = letters.next() {
        let end = at + letter.len_utf8();
        match letter {
            '#' => break,
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            _ => {
                let word = word.get_or_insert_with(|| Word { text: String::new(), range: at..end });
                match letter {
                    '\'' | '"' => quoted(letter, &mut letters, &mut word.text)?,
                    '\\' => word.text.push(letters.next().ok_or(WordsError::Escape)?.1),
                    letter => word.text.push(letter),
                }
                word.range.end = letters.clone().next().map_or(line.len(), |(next, _)| next);
            }
        }
    }
    words.extend(word);
    Ok(words)
}

/// Takes what is left of a quoted part. Between `"`, a backslash is one unless it stands before `"` or another.
fn quoted(quote: char, letters: &mut std::str::CharIndices<'_>, text: &mut String) -> Result<(), WordsError> {
    loop {
        match letters.next().ok_or(WordsError::Unclosed)?.1 {
            letter if letter == quote => return Ok(()),
            '\\' if quote == '"' => {
                let next = letters.next().ok_or(WordsError::Escape)?.1;
                if next != '"' && next != '\\' {
                    text.push('\\');
                }
                text.push(next);
            }
            letter => text.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_those_of_shlex() {
        assert_eq!(words("web1 a=1  b='x y' # c"), ["web1", "a=1", "b=x y"]);
        assert_eq!(words("web1 a=x#y b=2"), ["web1", "a=x"]);
        assert_eq!(words(r#"h a="q\"\\n\n" b='\n' c=\ d"#), ["h", r#"a=q"\n\n"#, r"b=\n", "c= d"]);
        assert_eq!(words("h a='' ''"), ["h", "a=", ""]);
        assert_eq!(words("h '# no comment'"), ["h", "# no comment"]);
        assert_eq!(split("h a='x").unwrap_err(), WordsError::Unclosed);
        assert_eq!(split("h \\").unwrap_err(), WordsError::Escape);
    }

    #[test]
    fn words_know_their_place() {
        let line = "web1 é='x y' b";
        let places: Vec<&str> = split(line).unwrap().into_iter().map(|word| &line[word.range]).collect();
        assert_eq!(places, ["web1", "é='x y'", "b"]);
    }
}
