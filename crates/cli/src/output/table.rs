//! Tables without lines: a heading, columns two spaces apart, nothing else.

use std::io;

use anstyle::{AnsiColor, Style};
use console::{Term, measure_text_width, truncate_str};

use super::{clean, line, on_terminal};

/// Between two columns.
const GAP: usize = 2;
/// What a column that gives way keeps at least.
const LEAST: usize = 8;

/// One value of a table; its text is made safe on the way in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), style: Style::new() }
    }

    pub(crate) fn number(number: impl std::fmt::Display) -> Self {
        Self::new(number.to_string())
    }

    pub(crate) fn green(self) -> Self {
        Self { style: AnsiColor::Green.on_default(), ..self }
    }

    pub(crate) fn red(self) -> Self {
        Self { style: AnsiColor::Red.on_default(), ..self }
    }

    pub(crate) fn yellow(self) -> Self {
        Self { style: AnsiColor::Yellow.on_default(), ..self }
    }

    pub(crate) fn dim(self) -> Self {
        Self { style: Style::new().dimmed(), ..self }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

/// Rows under headings. On a terminal the columns marked with `~` give way, widest first, until a row fits in a line;
/// elsewhere every value is whole.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug)]
struct Column {
    heading: &'static str,
    gives_way: bool,
}

impl Table {
    /// A heading that begins with `~` is of a column that may be cut.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        let columns = headings
            .iter()
            .map(|heading| match heading.strip_prefix('~') {
                Some(heading) => Column { heading, gives_way: true },
                None => Column { heading, gives_way: false },
            })
            .collect();
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// # Errors
    /// When stdout can't be written to.
    pub(crate) fn print(&self) -> io::Result<()> {
        let width = if on_terminal() {
            Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
        } else {
            None
        };
        self.lines(width).iter().try_for_each(line)
    }

    /// The rows alone, for a listing that goes on under headings printed earlier.
    pub(crate) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let widths = self.widths(width);
        let headings = self
            .columns
            .iter()
            .map(|column| Cell { text: column.heading.to_uppercase(), style: Style::new().bold() });
        let headings: Vec<_> = headings.collect();
        std::iter::once(&headings).chain(&self.rows).map(|row| lay_out(row, &widths)).collect()
    }

    fn widths(&self, available: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| {
                let cells = self.rows.iter().filter_map(|row| row.get(place));
                let widest = cells.map(|cell| measure_text_width(&cell.text)).max().unwrap_or_default();
                widest.max(column.heading.chars().count())
            })
            .collect();
        let Some(available) = available else { return widths };
        let gaps = GAP * self.columns.len().saturating_sub(1);
        let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(available);
        while excess > 0 {
            let least = |place: usize| LEAST.max(self.columns[place].heading.chars().count());
            let widest = (0..widths.len())
                .filter(|&place| self.columns[place].gives_way && widths[place] > least(place))
                .max_by_key(|&place| widths[place]);
            let Some(place) = widest else { break };
            widths[place] -= 1;
            excess -= 1;
        }
        widths
    }
}

fn lay_out(cells: &[Cell], widths: &[usize]) -> String {
    let mut laid = String::new();
    for (place, (Cell { text, style }, &width)) in cells.iter().zip(widths).enumerate() {
        let text = truncate_str(text, width, "…");
        if place > 0 {
            laid.push_str(&" ".repeat(GAP));
        }
        laid.push_str(&format!("{style}{text}{style:#}"));
        // Nothing after the last column: a copied line has no trailing blanks.
        if place + 1 < cells.len() {
            laid.push_str(&" ".repeat(width.saturating_sub(measure_text_width(&text))));
        }
    }
    laid.truncate(laid.trim_end().len());
    laid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(table: &Table, width: Option<usize>) -> Vec<String> {
        table.lines(width).iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    fn sample() -> Table {
        let mut table = Table::new(&["id", "~why"]);
        table.row([Cell::new("a1"), Cell::new("a long sentence of several words").red()]);
        table.row([Cell::new("b2日本"), Cell::new("")]);
        table
    }

    #[test]
    fn without_a_width_values_are_whole_and_aligned() {
        assert_eq!(
            plain(&sample(), None),
            ["ID      WHY", "a1      a long sentence of several words", "b2日本"]
        );
    }

    #[test]
    fn on_a_terminal_the_columns_that_give_way_are_cut() {
        let lines = plain(&sample(), Some(24));
        assert_eq!(lines[1], "a1      a long sentence…");
        assert!(lines.iter().all(|line| measure_text_width(line) <= 24));
        // Narrower than can be: the least stays.
        assert_eq!(plain(&sample(), Some(3))[1], "a1      a long …");
    }

    #[test]
    fn no_cell_brings_control_characters_or_lines() {
        let mut table = Table::new(&["tenant"]);
        table.row([Cell::new("x\u{1b}[31m\n\ty")]);
        assert_eq!(table.lines(None)[1], r"x\u{1b}[31m\n\ty");
    }
}
