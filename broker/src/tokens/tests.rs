//! What becomes of tokens when their file changes, and when time passes.

use super::file::{Entry, Moment, Name};
use super::secret::fresh;
use super::*;

const NOW: u64 = 1_800_000_000_000;

struct Desk {
    file: File,
    tokens: Tokens,
    _dir: tempfile::TempDir,
}

fn entry(hash: Hash) -> Entry {
    Entry {
        hash,
        former_hash: None,
        former_until: None,
        roles: vec![Role::Viewer],
        queues: vec![Glob("*".into())],
        namespaces: vec![Glob("default".into())],
        expires: None,
        payloads: false,
    }
}

fn name() -> Name {
    Name("ci".into())
}

impl Grant {
    /// What a token of this name gives that allows nothing.
    pub(crate) fn of(name: &str) -> Self {
        let no_names = || Reach::of(vec![]);
        let rights =
            Rights { roles: Roles::default(), queues: no_names(), namespaces: no_names(), payloads: false };
        Self { name: name.into(), rights, until_ms: 0, end: CancellationToken::new() }
    }
}

impl Desk {
    /// A file with one token, and its text.
    fn new() -> (Self, String) {
        let (text, hash) = fresh("ci");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.toml");
        let file = File { token: [(name(), entry(hash))].into() };
        file.write(&path).unwrap();
        let tokens = Tokens::open(path).unwrap();
        (Self { file, tokens, _dir: dir }, text)
    }

    fn change(&mut self, change: impl FnOnce(&mut Entry)) {
        change(self.file.token.get_mut(&name()).unwrap());
        self.file.write(&self.tokens.path).unwrap();
        self.tokens.reload().unwrap();
    }
}

#[test]
fn who_shows_the_secret_is_known_and_nobody_else() {
    let (desk, text) = Desk::new();
    let admit = |text: &str| desk.tokens.admit(text, NOW).map(|grant| grant.name().to_owned());
    assert_eq!(desk.tokens.shown("default")[0].used_at_ms, 0);
    assert_eq!(admit(&text), Ok("ci".into()));
    assert_eq!(desk.tokens.shown("default")[0].used_at_ms, NOW);
    assert_eq!(desk.tokens.shown("other"), []);
    assert_eq!(admit(""), Err(Stranger::Nothing));
    let (other, of_nobody) = (fresh("ci").0, fresh("cj").0);
    for wrong in [&other, &of_nobody, &text[..text.len() - 1], &format!("{text}A"), "secret", "wl_ci_"] {
        assert_eq!(admit(wrong), Err(Stranger::Wrong), "{wrong}");
    }
}

#[test]
fn two_secrets_are_good_until_the_former_one_ends() {
    let (mut desk, old) = Desk::new();
    let (new, hash) = fresh("ci");
    let before = desk.tokens.admit(&old, NOW).unwrap();
    desk.change(|entry| {
        (entry.former_hash, entry.former_until) = (Some(entry.hash), Some(Moment(NOW + 1_000)));
        entry.hash = hash;
    });
    // Its end has moved, so whoever came with it comes again.
    assert!(before.is_over());
    let (of_old, of_new) = (desk.tokens.admit(&old, NOW).unwrap(), desk.tokens.admit(&new, NOW).unwrap());
    desk.tokens.expire(NOW + 999);
    assert!(!of_old.is_over() && !of_new.is_over());
    assert_eq!(desk.tokens.admit(&old, NOW + 1_000).map(drop), Err(Stranger::Expired));
    desk.tokens.expire(NOW + 1_000);
    assert!(of_old.is_over() && !of_new.is_over());
}

#[test]
fn a_token_that_is_removed_or_allows_something_else_ends() {
    let changes: [fn(&mut Entry); 5] = [
        |entry| entry.roles = vec![Role::Producer],
        |entry| entry.queues = vec![Glob("mail".into())],
        |entry| entry.namespaces.push(Glob("shop".into())),
        |entry| entry.payloads = true,
        |entry| entry.expires = Some(Moment(NOW + 5)),
    ];
    for change in changes {
        let (mut desk, text) = Desk::new();
        let grant = desk.tokens.admit(&text, NOW).unwrap();
        desk.tokens.reload().unwrap();
        assert!(!grant.is_over(), "the file says the same");
        desk.change(change);
        assert!(grant.is_over());
        assert!(!desk.tokens.admit(&text, NOW).unwrap().is_over());
    }
    let (mut desk, text) = Desk::new();
    let grant = desk.tokens.admit(&text, NOW).unwrap();
    desk.file.token.clear();
    desk.file.write(&desk.tokens.path).unwrap();
    desk.tokens.reload().unwrap();
    assert!(grant.is_over() && desk.tokens.admit(&text, NOW).is_err());
}

#[test]
fn a_faulty_file_changes_nothing() {
    let (desk, text) = Desk::new();
    let grant = desk.tokens.admit(&text, NOW).unwrap();
    std::fs::write(&desk.tokens.path, "[token.ci]\nhash = 1\n").unwrap();
    let error = desk.tokens.reload().unwrap_err().to_string();
    assert!(error.contains("tokens.toml:2"), "{error}");
    assert!(!grant.is_over() && desk.tokens.admit(&text, NOW).is_ok());
}

#[test]
fn a_producer_alone_sees_what_its_own_jobs_carry() {
    let (mut desk, text) = Desk::new();
    let shows = |desk: &Desk| desk.tokens.admit(&text, NOW).unwrap().shows_bodies();
    assert!(!shows(&desk));
    desk.change(|entry| entry.roles = vec![Role::Producer]);
    assert!(shows(&desk));
    desk.change(|entry| entry.roles = vec![Role::Producer, Role::Admin]);
    assert!(!shows(&desk));
    desk.change(|entry| entry.payloads = true);
    assert!(shows(&desk));
}
