//! `windlass admin top`: the broker on a full screen, live, with the keys of `less` and `vim`.
//!
//! ```text
//!   keys (a thread) ─┐
//!   every second ────┴─ loop ─ screen (what is shown, pure) ─ draw
//!                        └── broker: read rows, do deeds
//! ```

mod deed;
mod draw;
mod keys;
mod read;
mod screen;

use self::screen::{Screen, Step};
use super::super::failure::{Failure, Outcome};
use super::super::output::{self, Form};
use super::{Desk, done};
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Keys that wait; whoever types faster than they are read waits.
const KEYS_MAX: usize = 64;

/// How often is looked.
#[derive(Args)]
#[command(
    after_help = "Keys: 1-6 or left and right choose a tab, j k move, Enter shows all of a row, Esc goes back,\n\
    / filters, s sorts, space chooses a row, * all, p freezes, t changes the time looked back, ? helps, q ends.\n\
    Shift means it: R retry, C cancel, D delete, P pause or resume. Each says how many, and asks."
)]
pub(super) struct TopArgs {
    /// Look once and answer in JSON; without a terminal it is so anyway
    #[arg(long)]
    once: bool,
    /// Time between two looks
    #[arg(long, value_parser = super::super::enqueue::duration, default_value = "1s", value_name = "TIME")]
    every: Duration,
}

/// Runs until it is ended by a key.
pub(super) async fn run(desk: &Desk, args: &TopArgs) -> Outcome {
    let mut screen = Screen::new(desk.place());
    if args.once || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        read::everything(desk, &mut screen).await?;
        match desk.form() {
            Form::Table => output::json(&screen.document()),
            Form::Json | Form::Jsonl | Form::Csv | Form::Name => desk.object(&screen.document())?,
        }
        return done();
    }
    let (sender, keys) = mpsc::channel(KEYS_MAX);
    // Reading keys cannot be interrupted, so it has a thread, which ends with the process.
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    // Restores the terminal when something panics, too.
    let mut terminal = ratatui::init();
    let ended = show(desk, &mut screen, &mut terminal, keys, args.every).await;
    ratatui::restore();
    ended?;
    done()
}

async fn show(
    desk: &Desk,
    screen: &mut Screen,
    terminal: &mut ratatui::DefaultTerminal,
    mut keys: mpsc::Receiver<Event>,
    every: Duration,
) -> Result<(), Failure> {
    let mut next = Instant::now();
    loop {
        if Instant::now() >= next {
            if !screen.is_frozen {
                // A broker that is away for a while is said so, and looked for again.
                screen.trouble = read::tab(desk, screen).await.err().map(|error| error.to_string());
            }
            next = Instant::now() + every.max(Duration::from_millis(100));
        }
        terminal
            .draw(|frame| draw::draw(frame, screen))
            .map_err(|error| Failure::failed(error.to_string()))?;
        let event = match timeout_at(next, keys.recv()).await {
            Err(_) => continue,
            Ok(None) => return Ok(()),
            Ok(Some(event)) => event,
        };
        let Event::Key(key) = event else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match keys::press(screen, key) {
            Step::Stay => {}
            Step::Quit => return Ok(()),
            Step::Look => next = Instant::now(),
            Step::Ask(deed) => match deed::ask(desk, &deed).await {
                Ok(text) => screen.ask(text, deed),
                Err(error) => screen.message = error.to_string(),
            },
            Step::Do(deed) => {
                screen.message = match deed::perform(desk, &deed).await {
                    Ok(text) => text,
                    Err(error) => error.to_string(),
                };
                screen.chosen.clear();
                next = Instant::now();
            }
        }
    }
}
