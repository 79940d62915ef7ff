//! The bounds that both sides keep, and the rules for names and texts.
//!
//! A bound belongs here if a client can run into it; the broker adds its own for memory and disk. What
//! `v1/*.proto` says about a field in words stands here as a number.

/// The only version of the protocol so far.
pub const PROTO_VERSION: u32 = 1;

// Frames.

/// Largest frame, without its length, unless the broker is configured otherwise.
pub const FRAME_BYTES_DEFAULT: usize = 4 * MIB;
/// No configuration allows a larger frame: one payload of the largest size and what goes with it.
pub const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 64 * KIB;
/// Largest frame before Welcome, because its sender is not known yet.
pub const STRANGER_BYTES_MAX: usize = 4 * KIB;
/// Largest Hello that begins with the proof of a session: `Hello.running` lists every lease of a worker
/// that comes back.
pub const HELLO_BYTES_MAX: usize = 64 * KIB;
/// Leases in `Hello.running`; at 30 bytes each they leave room for labels and token.
pub const RUNNING_MAX: usize = 1_500;
/// Jobs, results, touches or ids in one request.
pub const JOBS_PER_FRAME_MAX: usize = 10_000;
/// Jobs that one `Result` may spawn.
pub const SPAWN_MAX: usize = 1_000;
/// Resources that one `Put` may set, and also remove.
pub const RESOURCES_PER_FRAME_MAX: usize = 1_000;
/// Rows of one `Rows`, and their default number.
pub const ROWS_MAX: usize = 1_000;
/// Rows of one `Rows` if `Query.limit` is 0.
pub const ROWS_DEFAULT: usize = 100;

// Names and texts.

/// A name: queue, kind, namespace, limit, schedule, resource.
pub const NAME_BYTES_MAX: usize = 200;
/// A key of a job, a content type, a name of a client or a host.
pub const TEXT_BYTES_MAX: usize = 200;
/// A tag of a job.
pub const TAG_BYTES_MAX: usize = 100;
/// A reason, a note, the message of an `Error`: longer ones are cut.
pub const REASON_BYTES_MAX: usize = KIB;
/// A job id, a session id, an operation id.
pub const ID_BYTES: usize = 16;

// A job.

/// Largest payload, unless the broker is configured otherwise.
pub const PAYLOAD_BYTES_DEFAULT: usize = MIB;
/// No configuration allows a larger payload.
pub const PAYLOAD_BYTES_MAX: usize = 16 * MIB;
/// Headers of a job.
pub const HEADERS_MAX: usize = 64;
/// Value of one header; its key is a name.
pub const HEADER_VALUE_BYTES_MAX: usize = 4 * KIB;
/// Keys and values of all headers of a job.
pub const HEADERS_BYTES_MAX: usize = 16 * KIB;
/// Tags of a job, in a selector, and in each list of a patch.
pub const TAGS_MAX: usize = 16;
/// Further limits of a job.
pub const LIMITS_MAX: usize = 8;
/// Jobs that a job waits for.
pub const AFTER_MAX: usize = 1_000;
/// Labels that a job needs.
pub const NEED_LABELS_MAX: usize = 8;
/// Entries of `Backoff.list_ms`.
pub const BACKOFF_LIST_MAX: usize = 64;
/// Highest priority.
pub const PRIORITY_MAX: u32 = 9;
/// Highest `max_attempts`.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// Highest `max_crashes`.
pub const CRASHES_MAX: u32 = 1_000;
/// Highest cost of a job.
pub const COST_MAX: u32 = 1_000;
/// Highest weight of a key or a source.
pub const WEIGHT_MAX: u32 = 1_000;
/// Longest `lease_ms` and longest step of `extend_ms`: 7 days.
pub const LEASE_MS_MAX: u64 = 7 * DAY_MS;
/// Longest delay of a job: 10 years.
pub const DELAY_MS_MAX: u64 = 3_650 * DAY_MS;
/// Longest wait between attempts, snooze and `retry_after_ms`: a year. Longer ones count as this.
pub const RETRY_MS_MAX: u64 = 366 * DAY_MS;
/// Longest window of a dedup key.
pub const DEDUP_WINDOW_MS_MAX: u64 = 30 * DAY_MS;

// A run and its end.

/// `Fail.kind`: longer ones are cut.
pub const FAIL_KIND_BYTES_MAX: usize = 128;
/// `Fail.message`: longer ones are cut.
pub const FAIL_MESSAGE_BYTES_MAX: usize = 4 * KIB;
/// `Fail.trace`: longer ones are cut.
pub const FAIL_TRACE_BYTES_MAX: usize = 16 * KIB;
/// Attempts that the history of a job keeps.
pub const HISTORY_MAX: usize = 10;
/// A checkpoint, and a piece of output.
pub const CHECKPOINT_BYTES_MAX: usize = 64 * KIB;
/// Log lines in one `JobTouch`.
pub const LOG_LINES_PER_TOUCH_MAX: usize = 100;
/// A line of a log: longer ones are cut.
pub const LOG_TEXT_BYTES_MAX: usize = 4 * KIB;
/// Time that a cancelled handler has by default.
pub const CANCEL_GRACE_MS_DEFAULT: u64 = 30_000;
/// Time that a cancelled handler may be given at most.
pub const CANCEL_GRACE_MS_MAX: u64 = 3_600_000;
/// Time over which sessions are told something, one after the other.
pub const TELL_WITHIN_MS_MAX: u64 = 86_400_000;

// A session and its streams.

/// Labels of a session and of a `Tell`; keys and values are texts.
pub const LABELS_MAX: usize = 32;
/// Features in `Hello.require`.
pub const REQUIRE_MAX: usize = 64;
/// Time from the last sign of life to the end of a session, unless Hello says otherwise.
pub const SESSION_TTL_MS_DEFAULT: u64 = 15_000;
/// Shortest time that Hello may ask for.
pub const SESSION_TTL_MS_MIN: u64 = 1_000;
/// Longest time that Hello may ask for.
pub const SESSION_TTL_MS_MAX: u64 = 3_600_000;
/// Sources of one Fetch.
pub const SOURCES_MAX: usize = 64;
/// Kinds of one Fetch.
pub const KINDS_MAX: usize = 256;
/// Slots of one stream.
pub const SLOTS_MAX: u32 = 10_000;
/// Jobs of one long poll.
pub const ONCE_MAX: u32 = 10_000;
/// Longest long poll.
pub const FETCH_WAIT_MS_MAX: u64 = 600_000;
/// Wait of `Enqueue` for the end of its jobs, unless it says otherwise.
pub const ENQUEUE_WAIT_MS_DEFAULT: u64 = 30_000;
/// Longest wait of `Enqueue` for the end of its jobs.
pub const ENQUEUE_WAIT_MS_MAX: u64 = 600_000;
/// Furthest that a test clock goes at once: a hundred years.
pub const ADVANCE_MS_MAX: u64 = 36_525 * DAY_MS;
/// Longest real time in which one step of a test clock waits for workers.
pub const PATIENCE_MS_MAX: u64 = 60_000;

// Lists of the rest.

/// States in a selector; there are nine.
pub const STATES_MAX: usize = 16;
/// `Selector.filter`.
pub const FILTER_BYTES_MAX: usize = 4 * KIB;
/// `Query.fields`.
pub const FIELDS_MAX: usize = 16;
/// Names of events in a `Watch` or a `Sink`.
pub const EVENT_NAMES_MAX: usize = 64;
/// Roles, queues or namespaces of a token.
pub const TOKEN_LIST_MAX: usize = 64;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const DAY_MS: u64 = 86_400_000;

/// Whether `name` is 1 to 200 bytes of ASCII letters, digits and `. _ : / -`.
///
/// Names stand in URLs, metrics, file patterns and shells, so everything that needs quoting there is
/// left out.
pub fn is_name(name: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(sign)
}

/// Whether `text` is at most `bytes_max` bytes without control characters; it may be empty.
///
/// Keys and tags are often made from data of the application (an e-mail address, a tenant), so they
/// are free, but must not break a line of a log or a table.
pub fn is_text(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.chars().any(char::is_control)
}

/// Whether `id` can name a job: 16 bytes, not all zero.
pub fn is_id(id: &[u8]) -> bool {
    id.len() == ID_BYTES && id.iter().any(|byte| *byte != 0)
}

/// The longest beginning of `text` that has at most `bytes_max` bytes and ends between characters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_short() {
        for good in ["a", "default", "limit/pause:queue/mail", "A.b_c-9", &"x".repeat(200)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "é", "a\n", "a*", "a@b", &"x".repeat(201)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn texts_are_free_but_one_line() {
        assert!(is_text("", TEXT_BYTES_MAX));
        assert!(is_text("zoë@example.org", TEXT_BYTES_MAX));
        assert!(!is_text("a\u{7}", TEXT_BYTES_MAX));
        assert!(!is_text("a\u{85}b", TEXT_BYTES_MAX));
        assert!(!is_text("abc", 2));
    }

    #[test]
    fn ids_are_sixteen_bytes_and_not_nothing() {
        assert!(is_id(&[1; 16]));
        assert!(!is_id(&[0; 16]));
        assert!(!is_id(&[1; 15]));
        assert!(!is_id(&[]));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("zoë", 3), "zo");
        assert_eq!(cut("zoë", 4), "zoë");
        assert_eq!(cut("zoë", 400), "zoë");
    }

    #[test]
    fn a_full_hello_fits() {
        let held = 30 * RUNNING_MAX;
        let labels = LABELS_MAX * (2 * TEXT_BYTES_MAX + 12);
        let texts = 5 * (TEXT_BYTES_MAX + 3) + 512;
        assert!(held + labels + texts <= HELLO_BYTES_MAX);
    }
}
