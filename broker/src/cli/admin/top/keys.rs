//! What a key does to the screen, and what it asks of the broker.

use super::deed::Deed;
use super::screen::{Over, Screen, Step, Tab};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Rows that PageUp and PageDown pass.
const PAGE: usize = 10;

/// A key was pressed.
pub(super) fn press(screen: &mut Screen, key: KeyEvent) -> Step {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Step::Quit;
    }
    screen.message.clear();
    match std::mem::replace(&mut screen.over, Over::Nothing) {
        Over::Nothing => table(screen, key.code),
        Over::Help | Over::Detail => {
            if key.code == KeyCode::Char('q') {
                Step::Quit
            } else {
                Step::Stay
            }
        }
        Over::Typing(text) => typing(screen, text, key.code),
        Over::Question(_, deed) => {
            if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                return Step::Do(deed);
            }
            screen.message = "nothing was changed".to_owned();
            Step::Stay
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has more keys than mean something")]
fn typing(screen: &mut Screen, mut text: String, code: KeyCode) -> Step {
    match code {
        KeyCode::Enter => {
            screen.view_mut().filter = text;
            screen.is_all = false;
            screen.chosen.clear();
            return Step::Look;
        }
        KeyCode::Esc => return Step::Stay,
        KeyCode::Backspace => drop(text.pop()),
        KeyCode::Char(symbol) => text.push(symbol),
        _ => {}
    }
    screen.over = Over::Typing(text);
    Step::Stay
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has more keys than mean something")]
fn table(screen: &mut Screen, code: KeyCode) -> Step {
    let last = screen.view().rows.len().saturating_sub(1);
    match code {
        KeyCode::Char('q') => return Step::Quit,
        KeyCode::Char(digit @ '1'..='6') => return go(screen, digit as usize - '1' as usize),
        KeyCode::Right | KeyCode::Tab | KeyCode::Char('l') => return go(screen, screen.tab as usize + 1),
        KeyCode::Left | KeyCode::BackTab | KeyCode::Char('h') => return go(screen, screen.tab as usize + 5),
        KeyCode::Down | KeyCode::Char('j') => move_to(screen, |at| at + 1),
        KeyCode::Up | KeyCode::Char('k') => move_to(screen, |at| at.saturating_sub(1)),
        KeyCode::PageDown => move_to(screen, |at| at + PAGE),
        KeyCode::PageUp => move_to(screen, |at| at.saturating_sub(PAGE)),
        KeyCode::Home | KeyCode::Char('g') => move_to(screen, |_| 0),
        KeyCode::End | KeyCode::Char('G') => move_to(screen, |_| last),
        KeyCode::Enter if screen.row().is_some() => screen.over = Over::Detail,
        KeyCode::Char('?') => screen.over = Over::Help,
        KeyCode::Char('/') => screen.over = Over::Typing(screen.view().filter.clone()),
        KeyCode::Char('p') => {
            screen.is_frozen = !screen.is_frozen;
            return Step::Look;
        }
        KeyCode::Char('t') => {
            screen.window += 1;
            return Step::Look;
        }
        KeyCode::Char('s') => {
            let columns = screen.tab.columns().len();
            let view = screen.view_mut();
            view.sort = view.sort.map_or(Some(0), |column| (column + 1 < columns).then_some(column + 1));
            return Step::Look;
        }
        KeyCode::Char(' ') => choose(screen),
        KeyCode::Char('*') => {
            screen.is_all = !screen.is_all;
            screen.chosen.clear();
        }
        KeyCode::Esc => {
            screen.is_all = false;
            screen.chosen.clear();
            if !std::mem::take(&mut screen.view_mut().filter).is_empty() {
                return Step::Look;
            }
        }
        KeyCode::Char(capital @ ('R' | 'C' | 'D' | 'P')) => return meant(screen, capital),
        _ => {}
    }
    Step::Stay
}

fn go(screen: &mut Screen, place: usize) -> Step {
    screen.open(Tab::ALL[place % Tab::ALL.len()]);
    Step::Look
}

fn move_to(screen: &mut Screen, to: impl Fn(usize) -> usize) {
    let view = screen.view_mut();
    view.at = to(view.at).min(view.rows.len().saturating_sub(1));
}

fn choose(screen: &mut Screen) {
    let Some(name) = screen.row().map(|row| screen.name(row)) else { return };
    screen.is_all = false;
    if !screen.chosen.remove(&name) {
        screen.chosen.insert(name);
    }
    move_to(screen, |at| at + 1);
}

/// A capital: the deed that it stands for on this tab.
fn meant(screen: &mut Screen, capital: char) -> Step {
    let deed = if screen.is_all && screen.tab == Tab::Jobs {
        Deed::of_all(capital, &screen.view().filter)
    } else {
        let names = screen.names();
        if names.is_empty() { None } else { Deed::of(capital, screen.tab, names, screen.row()) }
    };
    match deed {
        Some(deed) => Step::Ask(deed),
        None => {
            screen.message = format!("{capital} means nothing on {}", screen.tab.name());
            Step::Stay
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pressed(screen: &mut Screen, keys: &str) -> Step {
        let mut step = Step::Stay;
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\x1b' => KeyCode::Esc,
                key => KeyCode::Char(key),
            };
            step = press(screen, KeyEvent::new(code, KeyModifiers::NONE));
        }
        step
    }

    fn jobs() -> Screen {
        let mut screen = Screen::new("here".into());
        screen.tab = Tab::Jobs;
        screen
            .fill(Tab::Jobs, (0..3).map(|id| json!({"id": format!("{id:032x}"), "state": "dead"})).collect());
        screen
    }

    #[test]
    fn a_deed_is_about_the_row_or_about_what_was_chosen_and_waits_for_a_yes() {
        let mut screen = jobs();
        let Step::Ask(deed) = pressed(&mut screen, "jR") else { panic!("nothing is asked") };
        assert_eq!(deed, Deed::of('R', Tab::Jobs, vec![format!("{:032x}", 1)], None).unwrap());
        let Step::Ask(deed) = pressed(&mut screen, "g jk D") else { panic!("nothing is asked") };
        screen.ask("?".into(), deed.clone());
        assert_eq!(pressed(&mut screen, "\n"), Step::Stay, "only y is yes");
        screen.ask("?".into(), deed.clone());
        assert_eq!(pressed(&mut screen, "y"), Step::Do(deed));
    }

    #[test]
    fn a_filter_is_typed_and_taken_back() {
        let mut screen = jobs();
        assert_eq!(pressed(&mut screen, "/queue:qR\n"), Step::Look);
        assert_eq!(screen.view().filter, "queue:qR");
        let Step::Ask(deed) = pressed(&mut screen, "*C") else { panic!("nothing is asked") };
        assert_eq!(deed, Deed::of_all('C', "queue:qR").unwrap());
        assert_eq!(pressed(&mut screen, "\x1b"), Step::Look);
        assert_eq!(screen.view().filter, "");
    }

    #[test]
    fn tabs_go_round_and_q_ends() {
        let mut screen = Screen::new("here".into());
        press(&mut screen, KeyEvent::new(KeyCode::Left, KeyModifiers::NONE));
        assert_eq!(screen.tab, Tab::Schedules);
        assert_eq!(pressed(&mut screen, "3"), Step::Look);
        assert_eq!(screen.tab, Tab::Jobs);
        assert_eq!(pressed(&mut screen, "?q"), Step::Quit);
        assert_eq!(pressed(&mut screen, "R"), Step::Stay, "no row, no deed");
    }
}
