//! The command line on a terminal: aligned and coloured, questions that wait, and a screen that is given back.

use crate::harness::{Broker, WINDLASS, eventually, hex, job};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use windlass_proto::v1::{JobSpec, State};

/// A command on a terminal of its own, of 80 columns and 24 rows.
struct Terminal {
    keyboard: File,
    shown: Arc<Mutex<String>>,
    /// Ends when the program has closed the terminal and all is read.
    reading: std::thread::JoinHandle<()>,
    child: Child,
}

impl Terminal {
    fn start(broker: &Broker, words: &[&str], env: &[(&str, &str)]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let end = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
        let mut command = Command::new(WINDLASS);
        command.args(words).args(["--addr", broker.addr()]).stdin(end()).stdout(end()).stderr(end());
        command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("COLUMNS").envs(env.iter().copied());
        let child = command.spawn().unwrap();
        let keyboard = File::from(master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, heard) = (keyboard.try_clone().unwrap(), Arc::clone(&shown));
        // A terminal whose other end is closed answers with an error, which ends the thread.
        let reading = std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { keyboard, shown, child, reading }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    fn shows(&self, text: &str) {
        eventually(text, || self.shown().contains(text).then_some(()));
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn ends(mut self) -> (i32, String) {
        let status = eventually("it ends", || self.child.try_wait().unwrap());
        // What it said last may still be on its way to the thread.
        eventually("all is read", || self.reading.is_finished().then_some(()));
        (status.code().unwrap(), self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _it_has_ended = self.child.kill();
        let _it_has_ended = self.child.wait();
    }
}

#[test]
fn a_person_sees_columns_colours_and_times_that_are_near() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let dead = peer.enqueue(JobSpec { key: "x".repeat(150), ..job("a-kind-of-job-with-a-rather-long-name") });
    peer.change(&dead, windlass_proto::v1::change::To::Bury(windlass_proto::v1::Bury {}));
    let list = ["admin", "jobs", "list"];
    let (code, shown) = Terminal::start(&broker, &list, &[]).ends();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains(&hex(&dead)) && shown.contains("\x1b[31mdead\x1b[0m"), "{shown}");
    // How long ago may itself be cut, on a machine that takes its time.
    assert!(shown.contains("s a") && shown.contains('…'), "{shown}");
    for (env, colour) in
        [(("NO_COLOR", "1"), false), (("TERM", "dumb"), false), (("CLICOLOR_FORCE", "1"), true)]
    {
        let (_, shown) = Terminal::start(&broker, &list, &[env]).ends();
        assert_eq!(shown.contains("\x1b["), colour, "{env:?}: {shown}");
    }
    let (code, shown) = Terminal::start(&broker, &["admin", "status", "--sample", "0s"], &[]).ends();
    assert!(code == 0 && shown.contains("READY") && shown.contains("\x1b[32mready"), "{shown}");
}

#[test]
fn a_look_is_taken_again_and_again() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let watched = Terminal::start(&broker, &["admin", "queues", "--watch=100ms"], &[]);
    watched.shows("NAME");
    peer.enqueue(JobSpec { queue: "a-new-queue".into(), ..job("k") });
    watched.shows("a-new-queue");
    assert!(watched.shown().contains("\x1b[2J"), "a screen, not a scroll");
    let (code, told) = Terminal::start(&broker, &["admin", "queue", "pause", "x", "-w"], &[]).ends();
    assert!(code == 2 && told.contains("only look"), "{told}");
}

#[test]
fn a_question_waits_for_its_answer_and_much_at_stake_for_the_number() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    let id = peer.enqueue(job("k"));
    let shown = hex(&id);
    let delete = ["admin", "jobs", "delete", &shown];
    let mut asked = Terminal::start(&broker, &delete, &[]);
    asked.shows("Go on? [y/N]");
    asked.types("\n");
    let (code, told) = asked.ends();
    assert!(code == 9 && told.contains("About to delete 1 job on "), "{told}");
    assert_eq!(peer.job(&id).state(), State::Ready);

    peer.enqueue_all((0..150).map(|_| JobSpec { queue: "many".into(), ..job("k") }).collect());
    let all = ["admin", "queue", "purge", "many", "--reason", "test"];
    let mut asked = Terminal::start(&broker, &all, &[]);
    asked.shows("Type 150 to go on:");
    asked.types("y\n");
    assert_eq!((asked.ends().0, peer.queue("many").ready), (9, 150));
    let mut asked = Terminal::start(&broker, &all, &[]);
    asked.shows("Type 150 to go on:");
    asked.types("150\n");
    let (code, told) = asked.ends();
    assert!(code == 0 && told.contains("150 of 150 found changed"), "{told}");
    assert_eq!(peer.queue("many").ready, 0);
}

#[test]
fn a_full_screen_is_steered_by_keys_and_given_back() {
    let broker = Broker::start();
    let mut peer = broker.peer();
    peer.enqueue(job("the-kind"));
    let mut top = Terminal::start(&broker, &["admin", "top", "--every", "200ms"], &[]);
    top.shows("Overview");
    top.types("3");
    top.shows("the-kind");
    top.types("D");
    // Only cells that change are drawn, so a word is what can be looked for.
    top.shows("yes");
    assert_eq!(peer.server().jobs, 1, "nobody said yes");
    top.types("y");
    eventually("the job is deleted", || (peer.server().jobs == 0).then_some(()));
    top.types("q");
    let (code, shown) = top.ends();
    assert_eq!(code, 0);
    let (opened, closed) = (shown.find("\x1b[?1049h").unwrap(), shown.rfind("\x1b[?1049l").unwrap());
    assert!(opened < closed && shown[closed..].contains("\x1b[?25h"), "the cursor is back");
}
