//! Conditions where the engine takes fields and no filter: `queue:mail kind:send_email`, each at most
//! once.

use super::problem::Problem;

/// The terms of `q`, by name, if `known` has all of them.
pub(super) fn terms(q: &str, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let fault = |message: String| Problem::invalid(message).at("/q");
    let mut found: Vec<(String, String)> = Vec::new();
    let mut rest = q.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once(':').ok_or_else(|| fault(format!("{rest:?} has no `:`")))?;
        let (value, after) = value(after).ok_or_else(|| fault("a quote has no end".to_owned()))?;
        if !known.contains(&name) {
            let known = known.join(":, ");
            return Err(fault(format!("`{name}` cannot be asked for here; there are {known}:")));
        }
        if value.is_empty() || found.iter().any(|(before, _)| before == name) {
            return Err(fault(format!("`{name}` has one value here")));
        }
        found.push((name.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(found)
}

/// The first value and what stands after it. In quotes `\` takes the next letter as it is.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_names_with_one_value_each() {
        let read = |q: &str| terms(q, &["queue", "kind"]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let both = vec![pair("queue", "a b\"c"), pair("kind", "k")];
        assert_eq!(read(r#" queue:"a b\"c" kind:k "#).unwrap(), both);
        assert_eq!(read("").unwrap(), []);
        for wrong in ["queue", "state:dead", "queue:\"a", "queue: kind:k", "queue:a queue:b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
