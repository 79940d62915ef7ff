//! Rows for a terminal: aligned, coloured where it helps, cut to the width.

use super::cell;
use super::terminal::{Ink, Terminal};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Between columns.
const GAP: &str = "  ";
/// A column is not made narrower than this.
const NARROW: usize = 6;
/// What stands where a number would be 0.
pub(in crate::cli) const NONE: &str = "–";

/// Columns that go first where there is no room for all.
const SPARED: [&str; 8] =
    ["priority", "max_attempts", "run_at", "dead_total", "completed_total", "pid", "labels", "first_at"];

/// One cell, ready to be aligned.
struct Shown {
    text: String,
    ink: Ink,
    is_number: bool,
}

/// The lines of a table; the first is its head, unless nobody wants one.
pub(super) fn lines(
    terminal: Terminal,
    has_head: bool,
    columns: &[&str],
    rows: &[Value],
    now_ms: u64,
) -> Vec<String> {
    let show = |key: &&str, value: &Value| Shown {
        text: cell::spoken(key, value, now_ms),
        ink: cell::ink(key, value),
        is_number: value.is_number() || *value == Value::String(NONE.into()),
    };
    let columns = &kept(columns, rows, terminal.width, &show);
    let heads: Vec<String> = columns.iter().map(|column| cell::head(column)).collect();
    let cells: Vec<Vec<Shown>> =
        rows.iter().map(|row| columns.iter().map(|key| show(key, &row[*key])).collect()).collect();
    let mut widths: Vec<usize> = heads.iter().map(|head| if has_head { head.width() } else { 0 }).collect();
    for row in &cells {
        for (width, shown) in widths.iter_mut().zip(row) {
            *width = shown.text.width().max(*width);
        }
    }
    let is_number: Vec<bool> =
        (0..columns.len()).map(|place| cells.iter().any(|row| row[place].is_number)).collect();
    shrink(&mut widths, &heads, terminal.width);
    let mut lines = Vec::with_capacity(rows.len() + 1);
    if has_head {
        let heads = heads.iter().map(|head| (head.as_str(), Ink::Dim));
        lines.push(line(terminal, heads, &widths, &is_number));
    }
    lines.extend(cells.iter().map(|row| {
        let row = row.iter().map(|shown| (shown.text.as_str(), shown.ink));
        line(terminal, row, &widths, &is_number)
    }));
    lines
}

/// The columns without those that can be spared where there is no room for all.
fn kept<'a>(
    columns: &[&'a str],
    rows: &[Value],
    most: usize,
    show: &impl Fn(&&str, &Value) -> Shown,
) -> Vec<&'a str> {
    let width = |key: &&str| {
        let cells = rows.iter().map(|row| show(key, &row[*key]).text.width());
        cells.max().unwrap_or(0).max(cell::head(key).width())
    };
    let mut kept = columns.to_vec();
    for spared in SPARED {
        let total: usize = kept.iter().map(width).sum::<usize>() + GAP.len() * kept.len().saturating_sub(1);
        if total <= most {
            break;
        }
        kept.retain(|column| *column != spared);
    }
    kept
}

/// Takes from the widest column until the line fits.
fn shrink(widths: &mut [usize], heads: &[String], most: usize) {
    loop {
        let total: usize = widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
        let over = total.saturating_sub(most);
        // An id is only of use as a whole, so it is the last to be cut.
        let widest = (0..widths.len())
            .filter(|place| widths[*place] > NARROW && heads[*place] != "ID")
            .max_by_key(|place| widths[*place]);
        let Some(widest) = widest.filter(|_| over > 0) else { return };
        let second = (0..widths.len()).filter(|place| *place != widest).map(|place| widths[place]).max();
        let down_to = second.unwrap_or(0).min(widths[widest] - 1).max(NARROW);
        widths[widest] = (widths[widest] - over.min(widths[widest])).max(down_to);
    }
}

fn line<'a>(
    terminal: Terminal,
    cells: impl Iterator<Item = (&'a str, Ink)>,
    widths: &[usize],
    is_number: &[bool],
) -> String {
    let mut line = String::new();
    let mut used = 0;
    let last = widths.len().saturating_sub(1);
    for (place, (text, ink)) in cells.enumerate() {
        let room = terminal.width.saturating_sub(used);
        let width = widths[place].min(room);
        if width == 0 {
            break;
        }
        let text = cut(text, width);
        let padding = " ".repeat(width - text.width());
        let painted = ink.paint(&text, terminal.has_colour);
        if is_number[place] {
            line.push_str(&padding);
            line.push_str(&painted);
        } else {
            line.push_str(&painted);
            if place != last {
                line.push_str(&padding);
            }
        }
        used += width + GAP.len();
        if place != last && used < terminal.width {
            line.push_str(GAP);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// The text in at most so many columns, with a mark where something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for symbol in text.chars() {
        let next = used + symbol.width().unwrap_or(0);
        if next + 1 > width {
            break;
        }
        kept.push(symbol);
        used = next;
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn terminal(width: usize, has_colour: bool) -> Terminal {
        Terminal { is_terminal: true, has_colour, width }
    }

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let rows = [json!({"name": "mail", "ready": 12_041}), json!({"name": "a", "ready": 9})];
        let told = lines(terminal(80, false), true, &["name", "ready"], &rows, 0);
        assert_eq!(told, ["NAME   READY", "mail  12,041", "a          9"]);
        let bare = lines(terminal(80, false), false, &["name"], &rows, 0);
        assert_eq!(bare, ["mail", "a"]);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_an_id_is_cut_last() {
        let id = "0190f5c2-7b1e-7c33-a4f5-0c2b6e1d9a77";
        let row = json!({"id": id, "message": "x".repeat(100), "kind": "日本語".repeat(9), "n": 1});
        for width in [3, 20, 40, 60, 80, 120] {
            let told = lines(
                terminal(width, false),
                true,
                &["id", "message", "kind", "n"],
                std::slice::from_ref(&row),
                0,
            );
            assert!(told.iter().all(|line| line.width() <= width), "{width}: {told:?}");
            assert_eq!(told[1].contains(id), width >= 36, "{width}: {told:?}");
        }
    }

    #[test]
    fn colour_does_not_move_a_column() {
        let rows = [json!({"state": "dead", "n": 1}), json!({"state": "completed", "n": 2})];
        let told = lines(terminal(80, true), false, &["state", "n"], &rows, 0);
        assert_eq!(told, ["\x1b[31mdead\x1b[0m       1", "\x1b[32mcompleted\x1b[0m  2"]);
    }
}
