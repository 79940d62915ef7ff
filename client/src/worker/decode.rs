//! Reading typed payloads, and saying exactly where one is not what its handler expects.

use serde::de::DeserializeOwned;

use super::failure::JobError;

/// The value in a JSON payload. No retry can mend a payload, so the failure is permanent.
pub(super) fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, JobError> {
    serde_json::from_slice(payload).map_err(|error| {
        let path = path_at(payload, offset_of(payload, error.line(), error.column()));
        JobError::permanent(format!("the payload does not fit the handler: at {path}: {error}"))
            .with_kind("decode")
    })
}

/// The byte that a line and a column of serde_json mean; both count from 1, the column in bytes.
fn offset_of(payload: &[u8], line: usize, column: usize) -> usize {
    let before: usize =
        payload.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (before + column).min(payload.len())
}

/// One step of a path into JSON.
enum Step {
    /// Inside an object; the name is empty before its first member.
    Member(String),
    /// Inside an array.
    Item(usize),
}

/// The path of the value that ends at `end`, like `.to[2].name`; the whole value is `.`.
fn path_at(json: &[u8], end: usize) -> String {
    let mut steps = Vec::new();
    let mut names = false;
    let mut at = 0;
    while at < end {
        match json[at] {
            b'{' => {
                steps.push(Step::Member(String::new()));
                names = true;
            }
            b'[' => steps.push(Step::Item(0)),
            // A member that is missing is noticed at the brace: then the path is that of its object.
            b'}' | b']' if at + 1 < end => drop(steps.pop()),
            b',' => match steps.last_mut() {
                Some(Step::Item(number)) => *number += 1,
                Some(Step::Member(_)) => names = true,
                None => {}
            },
            b'"' => {
                let text = string_at(json, at);
                if let (true, Some(Step::Member(name))) = (names, steps.last_mut()) {
                    *name = String::from_utf8_lossy(text).into_owned();
                    names = false;
                }
                at += text.len() + 1;
            }
            _ => {}
        }
        at += 1;
    }
    written(&steps)
}

/// What stands between the quote at `open` and the one that closes it.
fn string_at(json: &[u8], open: usize) -> &[u8] {
    let text = &json[open + 1..];
    let mut escaped = false;
    let closes = |byte: &u8| {
        let is_end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_end
    };
    let len = text.iter().position(closes).unwrap_or(text.len());
    &text[..len]
}

fn written(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Member(name) if name.is_empty() => {}
            Step::Member(name) => {
                path.push('.');
                path.push_str(name);
            }
            Step::Item(number) => path.push_str(&format!("[{number}]")),
        }
    }
    if path.is_empty() { ".".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Mail {
        #[serde(rename = "to")]
        _to: Vec<Person>,
        #[serde(rename = "text")]
        _text: String,
    }

    #[derive(Debug, Deserialize)]
    struct Person {
        #[serde(rename = "name")]
        _name: String,
    }

    fn fault(payload: &str) -> String {
        json::<Mail>(payload.as_bytes()).unwrap_err().message().to_owned()
    }

    #[test]
    fn the_path_of_the_fault_is_named() {
        let wrong = "{\"text\": \"a \\\" [ {\",\n \"to\": [{\"name\": \"x\"},\n {\"name\": 5}]}";
        assert!(fault(wrong).contains("at .to[1].name: invalid type"), "{}", fault(wrong));
        let missing = "{\"text\": \"\", \"to\": [{\"other\": 1}]}";
        assert!(fault(missing).contains("at .to[0]"), "{}", fault(missing));
        assert!(fault("5").contains("at .: "), "{}", fault("5"));
        assert!(fault("").contains("at .: "), "{}", fault(""));
        assert!(fault("{\"text\": \"unfinished").contains("at .text: "));
    }
}
