//! Tables, for a terminal and for Markdown.

use serde::{Deserialize, Serialize};

/// A table of texts. The first column is to the left, all others are to the right.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// What stands above it; may be empty.
    pub caption: String,
    /// The heads of the columns.
    pub heads: Vec<String>,
    /// The rows, each as long as `heads`.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(caption: impl Into<String>, heads: &[&str]) -> Self {
        let heads = heads.iter().map(|head| (*head).to_owned()).collect();
        Self { caption: caption.into(), heads, rows: Vec::new() }
    }

    /// Adds a row; what is missing of it stays empty.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.heads.len(), String::new());
        self.rows.push(row);
    }

    fn widths(&self, shown: impl Fn(&str) -> usize) -> Vec<usize> {
        (0..self.heads.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.chain(self.heads.get(column)).map(|cell| shown(cell)).max().unwrap_or(0)
            })
            .collect()
    }

    /// For a terminal: columns with two blanks between them.
    #[must_use]
    pub fn for_terminal(&self) -> String {
        let widths = self.widths(|cell| cell.chars().count());
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().zip(&widths).enumerate().map(pad).collect();
            format!("{}\n", cells.join("  ").trim_end())
        };
        let mut text = if self.caption.is_empty() { String::new() } else { format!("{}\n", self.caption) };
        text.push_str(&line(&self.heads));
        text.push_str(&format!(
            "{}\n",
            widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  ")
        ));
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
        text
    }

    /// As Markdown.
    #[must_use]
    pub fn for_markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text =
            if self.caption.is_empty() { String::new() } else { format!("**{}**\n\n", self.caption) };
        text.push_str(&line(&self.heads));
        let sides: Vec<&str> =
            (0..self.heads.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect();
        text.push_str(&format!("|{}|\n", sides.join("|")));
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
        text
    }
}

fn pad((column, (cell, width)): (usize, (&String, &usize))) -> String {
    let blanks = " ".repeat(width.saturating_sub(cell.chars().count()));
    if column == 0 { format!("{cell}{blanks}") } else { format!("{blanks}{cell}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Table {
        let mut table = Table::new("Times", &["tool", "wall"]);
        table.row(["cm", "0.5 s"]);
        table.row(["a|b"]);
        table
    }

    #[test]
    fn a_terminal_gets_columns() {
        assert_eq!(example().for_terminal(), "Times\ntool   wall\n----  -----\ncm    0.5 s\na|b\n");
    }

    #[test]
    fn markdown_gets_bars_and_cells_keep_theirs() {
        assert_eq!(
            example().for_markdown(),
            "**Times**\n\n| tool | wall |\n|---|---:|\n| cm | 0.5 s |\n| a\\|b |  |\n"
        );
    }
}
