//! `send_email {to, subject, body, from?}`: a message into the maildir `maildir/`, as a local mail
//! server would deliver it; any mail program can open that folder.

use crate::files;
use crate::rehearsal;
use crate::run::{HandlerError, Run};
use lettre::Message;
use lettre::message::{Mailbox, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

#[derive(Deserialize)]
struct Email {
    to: String,
    subject: String,
    body: String,
    #[serde(default = "nobody")]
    from: String,
}

/// Delivers a mail. Its file is named after the job, so a second run does not deliver it twice.
///
/// # Errors
/// Permanent for a bad address or header; to be retried when the maildir cannot be written.
pub fn send_email(run: &Run, out: &Path) -> Result<Value, HandlerError> {
    let email: Email = run.payload()?;
    let message_id = format!("<{}@windlass.example>", run.id);
    let message = compose(&email, &message_id)?;
    if rehearsal::has_to_fail(run) {
        return Err(HandlerError::retry("mail server said 451, try again later"));
    }

    let maildir = out.join("maildir");
    let (new, cur) = (maildir.join("new"), maildir.join("cur"));
    for folder in [&new, &cur] {
        fs::create_dir_all(folder)
            .map_err(|error| HandlerError::retry(format!("cannot make {}: {error}", folder.display())))?;
    }
    let name = format!("{}.windlass", run.id);
    if !was_read(&cur, &name) {
        files::write(&new.join(&name), &maildir.join("tmp"), &message.formatted())?;
    }
    Ok(json!({ "message_id": message_id, "file": format!("maildir/new/{name}") }))
}

fn compose(email: &Email, message_id: &str) -> Result<Message, HandlerError> {
    if email.subject.contains(char::is_control) {
        return Err(HandlerError::permanent("the subject holds control characters"));
    }
    Message::builder()
        .to(mailbox(&email.to)?)
        .from(mailbox(&email.from)?)
        .subject(&email.subject)
        .message_id(Some(message_id.to_owned()))
        .header(header::ContentType::TEXT_PLAIN)
        .body(email.body.clone())
        .map_err(|error| HandlerError::permanent(format!("not a valid message: {error}")))
}

fn mailbox(address: &str) -> Result<Mailbox, HandlerError> {
    address
        .parse()
        .map_err(|error| HandlerError::permanent(format!("{address:?} is not a mail address: {error}")))
}

/// Whether a mail program has taken the message over: it then moves it to `cur` and adds `:2,` and
/// flags to its name.
fn was_read(cur: &Path, name: &str) -> bool {
    fs::read_dir(cur).is_ok_and(|mails| {
        mails.flatten().any(|mail| mail.file_name().to_string_lossy().split(':').next() == Some(name))
    })
}

fn nobody() -> String {
    "Windlass <worker@localhost>".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = r#"{"to": "Ada <ada@example.org>", "subject": "Grüße", "body": "Hello.\nBye."}"#;

    fn delivered(out: &Path) -> Vec<String> {
        let new = out.join("maildir/new");
        fs::read_dir(new).unwrap().map(|mail| fs::read_to_string(mail.unwrap().path()).unwrap()).collect()
    }

    fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    #[test]
    fn a_mail_lies_in_the_maildir_with_all_that_was_asked() {
        let out = tempfile::tempdir().unwrap();
        let run = Run::sample("send_email", MAIL);
        let result = send_email(&run, out.path()).unwrap();
        let file = out.path().join(result["file"].as_str().unwrap());
        let mail = fs::read_to_string(file).unwrap();
        assert_eq!(header(&mail, "To"), Some("Ada <ada@example.org>"));
        assert_eq!(header(&mail, "From"), Some("Windlass <worker@localhost>"));
        assert_eq!(header(&mail, "Subject"), Some("=?utf-8?b?R3LDvMOfZQ==?="));
        assert_eq!(header(&mail, "Message-ID"), result["message_id"].as_str());
        assert!(header(&mail, "Date").is_some());
        assert_eq!(mail.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "\n"), "Hello.\nBye.");
        assert_eq!(fs::read_dir(out.path().join("maildir/tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_second_run_delivers_nothing_new_even_after_it_was_read() {
        let out = tempfile::tempdir().unwrap();
        let run = Run::sample("send_email", MAIL);
        send_email(&run, out.path()).unwrap();
        send_email(&run, out.path()).unwrap();
        assert_eq!(delivered(out.path()).len(), 1);

        let name = format!("{}.windlass", run.id);
        let maildir = out.path().join("maildir");
        fs::rename(maildir.join("new").join(&name), maildir.join("cur").join(name + ":2,S")).unwrap();
        send_email(&run, out.path()).unwrap();
        assert_eq!(delivered(out.path()).len(), 0);
    }

    #[test]
    fn a_bad_address_or_subject_fails_for_good() {
        let out = tempfile::tempdir().unwrap();
        for (to, subject) in
            [("nobody", "s"), ("", "s"), ("a@b@c", "s"), ("a@b.c", "s\r\nBcc: all@example.org")]
        {
            let mail = json!({ "to": to, "subject": subject, "body": "" });
            let error = send_email(&Run::sample("send_email", mail), out.path()).unwrap_err();
            assert!(error.is_permanent(), "{to} {subject}: {error}");
        }
        assert!(!out.path().join("maildir").exists());
    }

    #[test]
    fn fail_first_lets_the_first_attempts_fail() {
        let out = tempfile::tempdir().unwrap();
        let mail = json!({ "to": "a@b.c", "subject": "s", "body": "", "fail_first": 2 });
        let mut run = Run::sample("send_email", mail);
        for (attempt, fails) in [(1, true), (2, true), (3, false)] {
            run.attempt = attempt;
            let outcome = send_email(&run, out.path());
            assert_eq!(outcome.is_err_and(|error| !error.is_permanent()), fails, "attempt {attempt}");
        }
        assert_eq!(delivered(out.path()).len(), 1);
    }
}
