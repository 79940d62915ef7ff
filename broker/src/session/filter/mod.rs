//! The filter language, read in this one place: `state:dead queue:mail kind:email.* age:>1h`.
//!
//! ```text
//! filter = term *( space term )          all of them hold
//! term   = [ "-" ] column ":" values     with "-" it does not hold
//! values = value *( "," value )          any of them holds
//! value  = words without space or comma, or anything in double quotes, where \ takes the next letter
//! ```
//! What a value means is the column's business: see [`column`]. A quoted value has no stars and no
//! ranges; it is what it is.

mod column;

use super::form::{Checked, invalid};
use column::Column;
pub(super) use column::fingerprint;
use windlass_engine::filter::{Clause, Filter};
use windlass_proto::limits::FILTER_BYTES_MAX;

/// Values of one filter; each is compared with every job that is looked at.
const VALUES_MAX: usize = 64;

/// One value of a term.
#[derive(Debug, PartialEq, Eq)]
struct Value {
    text: String,
    is_quoted: bool,
}

/// Reads a filter. `now_ms` is what ages and relative instants are counted from.
pub(super) fn filter(text: &str, now_ms: u64) -> Checked<Filter> {
    read(text, now_ms).map_err(|fault| invalid("filter", fault))
}

fn read(text: &str, now_ms: u64) -> Result<Filter, String> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(format!("a filter has at most {FILTER_BYTES_MAX} bytes"));
    }
    let mut filter = Filter::default();
    let (mut rest, mut values) = (text.trim_start(), 0);
    while !rest.is_empty() {
        let (term, is_negated) = match rest.strip_prefix('-') {
            Some(term) => (term, true),
            None => (rest, false),
        };
        let (name, after) = named(term)?;
        let column = Column::of(name)?;
        let (list, after) = listed(after).map_err(|fault| format!("`{name}`: {fault}"))?;
        values += list.len();
        if values > VALUES_MAX {
            return Err(format!("a filter has at most {VALUES_MAX} values"));
        }
        let tests = list.iter().map(|value| column.test(value, now_ms)).collect::<Result<_, _>>();
        filter.clauses.push(Clause { is_negated, any: tests.map_err(|fault| format!("`{name}`: {fault}"))? });
        rest = after.trim_start();
    }
    Ok(filter)
}

/// The name of the column, and what stands after its colon.
fn named(term: &str) -> Result<(&str, &str), String> {
    let end = term.find(|letter: char| letter == ':' || letter.is_whitespace()).unwrap_or(term.len());
    match term[end..].strip_prefix(':') {
        Some(after) => Ok((&term[..end], after)),
        None => Err(format!("{:?} is no term; write `column:value`, {}", &term[..end], column::known())),
    }
}

/// The values of a term, and what stands after them.
fn listed(mut rest: &str) -> Result<(Vec<Value>, &str), String> {
    let mut values = Vec::new();
    loop {
        let (value, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = rest.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(rest.len());
                (Value { text: rest[..end].to_owned(), is_quoted: false }, &rest[end..])
            }
        };
        if value.text.is_empty() && !value.is_quoted {
            return Err("a value is missing; the empty text is written \"\"".to_owned());
        }
        values.push(value);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() || after.starts_with(char::is_whitespace) => return Ok((values, after)),
            None => return Err("a quoted value ends with a space or a comma".to_owned()),
        }
    }
}

/// What stands before the closing quote, and what after it.
fn unquoted(quoted: &str) -> Result<(Value, &str), String> {
    let mut text = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((Value { text, is_quoted: true }, &quoted[at + 1..])),
            '\\' => text.extend(letters.next().map(|(_, letter)| letter)),
            letter => text.push(letter),
        }
    }
    Err("a quote is not closed".to_owned())
}

#[cfg(test)]
mod tests;
