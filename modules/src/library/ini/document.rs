//! An INI file taken apart: which lines are sections, options and comments. Nothing is changed here.

use std::ops::Range;

use super::style::{Separator, Style};
use crate::library::text_edit::Lines;

/// The value of an option; none for one that stands alone.
pub(super) type Entry = Option<Vec<u8>>;

/// An option with its section and value.
pub(super) type Found = (Option<Vec<u8>>, Vec<u8>, Entry);

/// The lines of a file by what they are.
#[derive(Debug)]
pub(super) struct Document {
    items: Vec<Item>,
}

/// Some lines that belong together.
#[derive(Debug)]
pub(super) struct Item {
    /// One line, but for an option whose value goes on.
    pub lines: Range<usize>,
    pub kind: ItemKind,
}

#[derive(Debug)]
pub(super) enum ItemKind {
    Blank,
    Comment,
    /// By its name.
    Section(Vec<u8>),
    Option(OptionLine),
}

/// Where the parts of an option's first line are, in bytes.
#[derive(Debug)]
pub(super) struct OptionLine {
    pub key: Range<usize>,
    /// Behind the separator and its blanks; none for an option that stands alone.
    pub value: Option<usize>,
}

impl Item {
    fn key<'a>(&self, lines: &'a Lines<'_>) -> Option<&'a [u8]> {
        let ItemKind::Option(option) = &self.kind else { return None };
        Some(&lines.as_slice()[self.lines.start].text[option.key.clone()])
    }

    /// The value, its lines without blanks around them.
    pub fn value(&self, lines: &Lines<'_>) -> Entry {
        let ItemKind::Option(OptionLine { value: Some(start), .. }) = self.kind else {
            // One that stands alone and goes on all the same: never what is wanted.
            let goes_on = self.lines.len() > 1;
            return goes_on.then(|| b"\n".to_vec());
        };
        let texts = lines.as_slice()[self.lines.clone()].iter().map(|line| &*line.text);
        let parts: Vec<&[u8]> = texts
            .enumerate()
            .map(|(index, text)| if index == 0 { text[start..].trim_ascii() } else { text.trim_ascii() })
            .collect();
        Some(parts.join(&b'\n'))
    }

    /// Its first line with another value; `style` where it had none.
    pub fn with_value(&self, lines: &Lines<'_>, value: Option<&[u8]>, style: &Style) -> Vec<u8> {
        let ItemKind::Option(option) = &self.kind else { return Vec::new() };
        let text = &lines.as_slice()[self.lines.start].text;
        let head = &text[..option.key.end];
        match (value, option.value) {
            (None, _) => head.to_vec(),
            (Some(value), None) => [head, &style.between, value].concat().trim_ascii_end().to_vec(),
            (Some(value), Some(start)) => {
                let between = &text[option.key.end..start];
                // `x =` had no value that showed how much room it takes.
                let airy = text[start..].trim_ascii().is_empty()
                    && between.first().is_some_and(u8::is_ascii_whitespace)
                    && !between.last().is_some_and(u8::is_ascii_whitespace);
                let gap: &[u8] = if airy { b" " } else { b"" };
                [head, between, gap, value].concat().trim_ascii_end().to_vec()
            }
        }
    }
}

impl Document {
    pub fn of(lines: &Lines<'_>, separator: &Separator) -> Self {
        let texts: Vec<&[u8]> = lines.as_slice().iter().map(|line| &*line.text).collect();
        let mut items = Vec::new();
        let mut index = 0;
        while let Some(text) = texts.get(index) {
            let kind = kind_of(text, separator);
            let end = match &kind {
                ItemKind::Option(option) => end_of_option(&texts, index, option, separator),
                _ => index + 1,
            };
            items.push(Item { lines: index..end, kind });
            index = end;
        }
        Self { items }
    }

    /// The items of each section of this name (none: what is before the first), headers not included.
    fn regions(&self, section: Option<&[u8]>) -> Vec<Range<usize>> {
        let headers = self.items.iter().enumerate().filter_map(|(index, item)| match &item.kind {
            ItemKind::Section(name) => Some((index, name)),
            _ => None,
        });
        let mut starts: Vec<(usize, Option<&[u8]>)> = vec![(0, None)];
        starts.extend(headers.map(|(index, name)| (index + 1, Some(&**name))));
        let ends = starts.iter().skip(1).map(|(start, _)| start - 1).chain([self.items.len()]);
        let all: Vec<_> = starts.iter().zip(ends).map(|((start, name), end)| (*start..end, *name)).collect();
        all.into_iter().filter(|(_, name)| *name == section).map(|(range, _)| range).collect()
    }

    /// The options of this name in all sections of this name.
    pub fn options<'s>(&'s self, lines: &Lines<'_>, section: Option<&[u8]>, key: &[u8]) -> Vec<&'s Item> {
        let items = self.regions(section).into_iter().flat_map(|region| &self.items[region]);
        items.filter(|item| item.key(lines) == Some(key)).collect()
    }

    /// All options with their sections and values.
    pub fn all_options(&self, lines: &Lines<'_>) -> Vec<Found> {
        let mut section = None;
        let mut options = Vec::new();
        for item in &self.items {
            if let ItemKind::Section(name) = &item.kind {
                section = Some(name.clone());
            } else if let Some(key) = item.key(lines) {
                options.push((section.clone(), key.to_vec(), item.value(lines)));
            }
        }
        options
    }

    /// The options of the section, nearest before this line first, then all others.
    pub fn models(&self, section: Option<&[u8]>, line: usize) -> Vec<&Item> {
        let is_option = |item: &&Item| matches!(item.kind, ItemKind::Option(_));
        let regions = self.regions(section);
        let mut own: Vec<&Item> =
            regions.into_iter().flat_map(|region| &self.items[region]).filter(is_option).collect();
        let distance = |item: &Item| (item.lines.start >= line, item.lines.start.abs_diff(line));
        crate::in_order::sort_by(&mut own, |one, other| distance(one).cmp(&distance(other)));
        own.extend(self.items.iter().filter(is_option));
        own
    }

    /// The line where a new option of a section goes; none where there is no such section.
    pub fn place(
        &self,
        section: Option<&[u8]>,
        key: &[u8],
        lines: &Lines<'_>,
        separator: &Separator,
    ) -> Option<usize> {
        let regions = self.regions(section);
        let within = || regions.iter().flat_map(|region| &self.items[region.clone()]);
        let mut inactive = within().filter(|item| matches!(item.kind, ItemKind::Comment)).filter(|item| {
            let text = &lines.as_slice()[item.lines.start].text;
            separator.comments_out(text, key)
        });
        if let Some(item) = inactive.next_back() {
            return Some(item.lines.end);
        }
        if let Some(item) = within().rfind(|item| matches!(item.kind, ItemKind::Option(_))) {
            return Some(item.lines.end);
        }
        let region = regions.first()?;
        if section.is_some() {
            // Right behind the header, whose item is the one before.
            return Some(self.items[region.start - 1].lines.end);
        }
        // Before the first section: behind the comments that open the file, but before those that belong to
        // the section.
        let items = &self.items[region.clone()];
        let is_blank = |item: &Item| matches!(item.kind, ItemKind::Blank);
        let mut end = items.len();
        if region.end < self.items.len() && !items.last().is_some_and(is_blank) {
            end = items.iter().rposition(is_blank).map_or(0, |index| index + 1);
        }
        let end = items[..end].iter().rposition(|item| !is_blank(item)).map_or(0, |index| index + 1);
        Some(items[..end].last().map_or(0, |item| item.lines.end))
    }

    /// The lines of each section of this name, header included. Comments right above the next section, with
    /// a blank line before them, are that one's.
    pub fn section_ranges(&self, section: Option<&[u8]>) -> Vec<Range<usize>> {
        let range = |region: Range<usize>| {
            let items = &self.items[region.clone()];
            let mut end = items.len();
            let last = region.end == self.items.len();
            if !last {
                let comments = items.iter().rev().take_while(|item| matches!(item.kind, ItemKind::Comment));
                let before = items.len() - comments.count();
                if before > 0 && matches!(items[before - 1].kind, ItemKind::Blank) {
                    end = before;
                }
            }
            let header = region.start - 1;
            let blank = |item: &Item| matches!(item.kind, ItemKind::Blank);
            // The blank line that parted the last section from the others.
            let start =
                if last && header > 0 && blank(&self.items[header - 1]) { header - 1 } else { header };
            self.items[start].lines.start..items[..end].last().unwrap_or(&self.items[header]).lines.end
        };
        // Only named sections have a header.
        let mut ranges: Vec<Range<usize>> =
            self.regions(section).into_iter().filter(|region| region.start > 0).map(range).collect();
        // The blank line before the last one may be the end of the one before it.
        for index in 1..ranges.len() {
            ranges[index].start = ranges[index].start.max(ranges[index - 1].end);
        }
        ranges
    }
}

fn kind_of(text: &[u8], separator: &Separator) -> ItemKind {
    let trimmed = text.trim_ascii();
    // The mark that editors of Windows put at the beginning of a file.
    let trimmed = trimmed.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(trimmed);
    match trimmed.first() {
        None => ItemKind::Blank,
        Some(b'#' | b';') => ItemKind::Comment,
        Some(b'[') if section_name(trimmed).is_some() => {
            ItemKind::Section(section_name(trimmed).unwrap_or_default().to_vec())
        }
        Some(_) => ItemKind::Option(separator.take_apart(text)),
    }
}

/// The name of a header: nothing but a comment may stand behind its bracket.
fn section_name(trimmed: &[u8]) -> Option<&[u8]> {
    let inner = trimmed.strip_prefix(b"[")?;
    let closing = (0..inner.len()).filter(|&at| inner[at] == b']');
    let mut ends =
        closing.filter(|&at| matches!(inner[at + 1..].trim_ascii().first(), None | Some(b'#' | b';')));
    ends.next().map(|end| inner[..end].trim_ascii())
}

fn indentation(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// The line behind an option and all its value.
fn end_of_option(texts: &[&[u8]], start: usize, option: &OptionLine, separator: &Separator) -> usize {
    let mut end = start + 1;
    while texts[end - 1].ends_with(b"\\") && end < texts.len() {
        end += 1;
    }
    // Deeper indented lines go on with the value (Python's configparser), but many a file just indents its
    // options: one with a separator is an option, unless no value has begun yet.
    let open = option.value.is_some_and(|value| texts[start][value..].trim_ascii().is_empty());
    let depth = indentation(texts[start]);
    while let Some(text) = texts.get(end) {
        let ItemKind::Option(next) = kind_of(text, separator) else { break };
        let goes_on = indentation(text) > depth && option.value.is_some() && (open || next.value.is_none());
        if !goes_on {
            break;
        }
        end += 1;
    }
    end
}
