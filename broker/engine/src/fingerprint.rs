//! Fingerprints: failures that look alike get the same one. What differs from job to job in a message
//! (numbers, ids, quoted words) is masked before it is hashed.

use crate::limits::ERROR_SHAPE_BYTES_MAX;
use alloc::string::String;

/// Bytes of a message that are looked at; its first sentence tells failures apart.
const LOOKED_AT_BYTES: usize = 512;
/// From this length on, hex digits with a number among them are an id.
const ID_LETTERS_MIN: usize = 8;

/// What stands for a number or an id.
const MASK: char = '#';

/// The message with numbers and ids as `#` and quoted words as `"…"`.
#[must_use]
pub fn masked(message: &str) -> String {
    let end = (0..=message.len().min(LOOKED_AT_BYTES)).rev().find(|&at| message.is_char_boundary(at));
    let mut rest = &message[..end.unwrap_or(0)];
    let mut shape = String::new();
    let mut in_word = false;
    while let Some(letter) = rest.chars().next() {
        if shape.len() + MASK.len_utf8() + 8 > ERROR_SHAPE_BYTES_MAX {
            break;
        }
        let taken = if let Some(quoted) = quoted(rest).filter(|_| !in_word) {
            shape.push_str("\"…\"");
            quoted
        } else if is_word(letter) {
            let word = &rest[..rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())];
            push_word(&mut shape, word);
            word.len()
        } else {
            shape.push(letter);
            letter.len_utf8()
        };
        in_word = is_word(letter);
        rest = &rest[taken..];
    }
    shape
}

/// How many bytes a quoted piece takes that begins here.
fn quoted(rest: &str) -> Option<usize> {
    let quote = rest.chars().next().filter(|letter| matches!(letter, '"' | '\'' | '`'))?;
    rest[1..].find(quote).map(|end| end + 2)
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-')
}

fn push_word(shape: &mut String, word: &str) {
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let is_id = has_digit
        && word.len() >= ID_LETTERS_MIN
        && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_id {
        return shape.push(MASK);
    }
    let mut in_number = false;
    for letter in word.chars() {
        let is_digit = letter.is_ascii_digit();
        if !is_digit {
            shape.push(letter);
        } else if !in_number {
            shape.push(MASK);
        }
        in_number = is_digit;
        if shape.len() >= ERROR_SHAPE_BYTES_MAX {
            return;
        }
    }
}

/// The fingerprint of a class of failure and a masked message (FNV-1a, Fowler, Noll and Vo 1991): the
/// same in every broker and every version, because people write it down.
#[must_use]
pub fn fingerprint(kind: &str, shape: &str) -> u64 {
    let bytes = kind.bytes().chain([0xff]).chain(shape.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_job_to_job_is_masked() {
        for (message, shape) in [
            ("timeout after 30s on host-17", "timeout after #s on host-#"),
            ("no user 018f3c2a-7b1e-7c33-a4f5-0c2b6e1d9a77", "no user #"),
            ("bad commit deadbeef12", "bad commit #"),
            ("bad decade", "bad decade"),
            ("cannot open 'a b.txt' or \"x\"", "cannot open \"…\" or \"…\""),
            ("can't open it, isn't there", "can't open it, isn't there"),
            ("HTTP 503: Service Unavailable", "HTTP #: Service Unavailable"),
            ("an open 'quote", "an open 'quote"),
            ("größe 3,5 µm", "größe #,# µm"),
            ("", ""),
        ] {
            assert_eq!(masked(message), shape, "{message}");
        }
    }

    #[test]
    fn a_shape_is_bounded_whatever_the_message() {
        for letter in ["ä", "a", "1", "'x' ", "€ "] {
            let shape = masked(&letter.repeat(5_000));
            assert!(shape.len() <= ERROR_SHAPE_BYTES_MAX + 4, "{} of {letter}", shape.len());
        }
    }

    #[test]
    fn a_fingerprint_stays_what_it_is() {
        assert_eq!(fingerprint("smtp", "timeout after #s"), 0xb80e_f8e0_096d_299b);
        assert_ne!(fingerprint("a", "b"), fingerprint("ab", ""));
    }
}
