//! The screen as it is drawn.

use super::screen::{HISTORY, Over, Screen, Tab};
use crate::cli::output::{Ink, cell_head, cell_ink, cell_text, length, one_line};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table, TableState, Tabs, Wrap};
use serde_json::Value;

const HELP: &str = "\
1-6, left, right   another tab            j k, arrows   move
Enter              all of the row         Esc           back, and no filter
/                  filter                 s             sort by the next column
space              choose the row         *             all that the filter lets through
p                  freeze and go on       t             time that errors are counted over
R  retry           C  cancel              D  delete     P  pause, resume
?                  this                   q             end

On Jobs a filter is an expression like state:dead kind:email.* age:>1h, elsewhere a piece of text.
A capital says how many it is about and asks. On Schedules, R runs one now.";

/// Draws it whole.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let rows = [Constraint::Length(1), Constraint::Length(1), Constraint::Min(3), Constraint::Length(1)];
    let [head, tabs, body, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(screen.head.as_str()).style(Modifier::BOLD), head);
    let names = Tab::ALL.iter().zip(1..).map(|(tab, number)| format!("{number} {}", tab.name()));
    let tabs_shown = Tabs::new(names).select(screen.tab as usize).highlight_style(Modifier::REVERSED);
    frame.render_widget(tabs_shown, tabs);
    let table_area = if screen.tab == Tab::Overview { charts(frame, screen, body) } else { body };
    table(frame, screen, table_area);
    frame.render_widget(Paragraph::new(bottom(screen)), foot);
    over(frame, screen, body);
}

/// What came and went, over the table.
fn charts(frame: &mut Frame<'_>, screen: &Screen, area: Rect) -> Rect {
    let rows = [Constraint::Length(4), Constraint::Length(4), Constraint::Min(3)];
    let [came, went, rest] = Layout::vertical(rows).areas(area);
    for (area, name, history, color) in
        [(came, "in", &screen.came, Color::Blue), (went, "out", &screen.went, Color::Green)]
    {
        let newest = history.iter().rev().take(HISTORY.min(usize::from(area.width)));
        let data: Vec<u64> = newest.copied().collect::<Vec<_>>().into_iter().rev().collect();
        let title = format!("{name}/s, most {}", history.iter().max().unwrap_or(&0));
        let block = Block::new().title(title);
        frame.render_widget(Sparkline::default().data(data).style(color).block(block), area);
    }
    rest
}

fn table(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let view = screen.view();
    let columns = screen.tab.columns();
    if view.rows.is_empty() {
        let text = match (screen.tab, view.filter.is_empty()) {
            (Tab::Overview, _) => "Nothing is wrong.",
            (_, true) => "There is nothing here.",
            (_, false) => "Nothing fits the filter.",
        };
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let heads = columns.iter().enumerate().map(|(place, column)| {
        let mark = if view.sort == Some(place) { "▾" } else { "" };
        format!("{}{mark}", cell_head(column))
    });
    let shown = |key: &str, row: &Value| one_line(&cell_text(key, &row[key], screen.now_ms));
    let width = |column: &&str| {
        let cells = view.rows.iter().map(|row| shown(column, row).chars().count());
        let most = cells.max().unwrap_or(0).max(cell_head(column).chars().count() + 1);
        u16::try_from(most).unwrap_or(u16::MAX)
    };
    let last = columns.len() - 1;
    let widths = columns.iter().enumerate().map(|(place, column)| {
        if place == last || ["text", "message"].contains(column) {
            Constraint::Fill(1)
        } else {
            Constraint::Length(width(column))
        }
    });
    let rows = view.rows.iter().map(|row| {
        let is_chosen = screen.is_all || screen.chosen.contains(&screen.name(row));
        let cells =
            columns.iter().map(|key| Cell::new(shown(key, row)).style(style(cell_ink(key, &row[*key]))));
        Row::new(cells).style(if is_chosen { Modifier::UNDERLINED } else { Modifier::empty() })
    });
    let table = Table::new(rows, widths)
        .column_spacing(2)
        .header(Row::new(heads).style(Modifier::DIM))
        .row_highlight_style(Modifier::REVERSED);
    let mut state = TableState::new().with_selected(view.at);
    frame.render_stateful_widget(table, area, &mut state);
}

fn style(ink: Ink) -> Style {
    match ink {
        Ink::Plain | Ink::Bold => Style::new(),
        Ink::Dim => Modifier::DIM.into(),
        Ink::Red => Color::Red.into(),
        Ink::Green => Color::Green.into(),
        Ink::Yellow => Color::Yellow.into(),
        Ink::Blue => Color::Blue.into(),
    }
}

/// The last line: what is asked, what went wrong, what was done, or what can be done.
fn bottom(screen: &Screen) -> String {
    if let Over::Typing(text) = &screen.over {
        return format!("/{text}_");
    }
    if let Over::Question(text, _) = &screen.over {
        return text.clone();
    }
    if let Some(trouble) = &screen.trouble {
        return format!("! {trouble}");
    }
    if !screen.message.is_empty() {
        return screen.message.clone();
    }
    let mut words = vec![format!("{} rows", screen.view().rows.len())];
    if !screen.view().filter.is_empty() {
        words.push(format!("filter {}", screen.view().filter));
    }
    if screen.is_all {
        words.push("all that fit are chosen".to_owned());
    } else if !screen.chosen.is_empty() {
        words.push(format!("{} chosen", screen.chosen.len()));
    }
    if screen.tab == Tab::Errors {
        words.push(format!("of the last {}", length(screen.window_ms())));
    }
    if screen.is_frozen {
        words.push("frozen".to_owned());
    }
    words.push("? help".to_owned());
    words.join("   ")
}

/// What lies over the table.
fn over(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let (title, text) = match &screen.over {
        Over::Nothing | Over::Typing(_) | Over::Question(..) => return,
        Over::Help => ("Keys", HELP.to_owned()),
        Over::Detail => {
            let row = screen.row().cloned().unwrap_or_default();
            ("All of it", serde_json::to_string_pretty(&row).unwrap_or_default())
        }
    };
    let lines: Vec<Line<'_>> = text.lines().map(|line| Line::from(one_line(line))).collect();
    let inner = area.inner(ratatui::layout::Margin::new(2, 1));
    frame.render_widget(Clear, inner);
    let shown = Paragraph::new(Text::from(lines)).wrap(Wrap { trim: false });
    frame.render_widget(shown.block(Block::bordered().title(title)), inner);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, screen)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn every_tab_fits_on_a_small_screen_and_on_an_absurd_one() {
        let mut screen = Screen::new("here".into());
        screen.head = "windlass 1 on here".into();
        screen.note(7, 5);
        for tab in Tab::ALL {
            screen.open(tab);
            assert!(drawn(&screen, 80, 24).contains("othing"), "{tab:?} is empty");
            let row = tab.columns().iter().map(|key| ((*key).to_owned(), json!(format!("<{key}\x1b[31m>"))));
            screen.fill(tab, vec![Value::Object(row.collect())]);
            let shown = drawn(&screen, 80, 24);
            assert!(shown.contains(tab.name()) && shown.contains(&cell_head(tab.columns()[0])), "{shown}");
            assert!(!shown.contains('\x1b'), "what a job says does not steer the terminal");
            for over in [Over::Help, Over::Detail, Over::Typing("x".into())] {
                screen.over = over;
                drawn(&screen, 80, 24);
                drawn(&screen, 3, 2);
            }
        }
    }
}
