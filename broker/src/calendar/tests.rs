//! Tables of local time where it jumps, a second reading of the same rule minute by minute, and noise.

use super::*;
use std::collections::BTreeSet;

fn at(text: &str) -> Ms {
    ms(text.parse().unwrap()).unwrap()
}

fn cron(cron: &str, tz: &str) -> Calendar {
    Calendar { cron: cron.into(), tz: tz.into(), ..Calendar::default() }
}

/// The first ticks of an expression after an instant, as local times with their offsets.
fn ticks(expression: &str, tz: &str, after: &str, count: usize) -> Vec<String> {
    let almanac = Almanac::read(&cron(expression, tz)).unwrap();
    let zone = zone(tz).unwrap();
    let said = |tick: Ms| local(tick, &zone).unwrap().strftime("%m-%dT%H:%M:%S%:z").to_string();
    let first = almanac.next(at(after));
    std::iter::successors(first, |&tick| almanac.next(tick)).take(count).map(said).collect()
}

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";
const LORD_HOWE: &str = "Australia/Lord_Howe";

/// An expression, its zone, an instant, and the first ticks after it.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

const TABLE: &[Row] = &[
    // Berlin, 29 March 2026: 02:00 is 03:00.
    (
        "30 2 * * *",
        BERLIN,
        "2026-03-28T00:00Z",
        &["03-28T02:30:00+01:00", "03-29T03:00:00+02:00", "03-30T02:30:00+02:00"],
    ),
    (
        "0,30 2 * * *",
        BERLIN,
        "2026-03-28T12:00Z",
        &["03-29T03:00:00+02:00", "03-30T02:00:00+02:00", "03-30T02:30:00+02:00"],
    ),
    ("0 2 * * *", BERLIN, "2026-03-28T12:00Z", &["03-29T03:00:00+02:00", "03-30T02:00:00+02:00"]),
    ("0 2,3 * * *", BERLIN, "2026-03-28T12:00Z", &["03-29T03:00:00+02:00", "03-30T02:00:00+02:00"]),
    ("0 */2 * * *", BERLIN, "2026-03-28T23:00Z", &["03-29T03:00:00+02:00", "03-29T04:00:00+02:00"]),
    ("30 * * * *", BERLIN, "2026-03-29T00:00Z", &["03-29T01:30:00+01:00", "03-29T03:30:00+02:00"]),
    ("59 59 2 * * *", BERLIN, "2026-03-28T12:00Z", &["03-29T03:00:00+02:00", "03-30T02:59:59+02:00"]),
    // 25 October 2026: 03:00 is 02:00 again.
    ("30 2 * * *", BERLIN, "2026-10-24T12:00Z", &["10-25T02:30:00+02:00", "10-26T02:30:00+01:00"]),
    (
        "*/30 2 * * *",
        BERLIN,
        "2026-10-24T12:00Z",
        &["10-25T02:00:00+02:00", "10-25T02:30:00+02:00", "10-26T02:00:00+01:00"],
    ),
    ("30 2 * * *", BERLIN, "2026-10-25T00:45Z", &["10-26T02:30:00+01:00"]),
    ("30 2 * * *", BERLIN, "2026-10-25T01:15Z", &["10-26T02:30:00+01:00"]),
    ("0 3 * * *", BERLIN, "2026-10-25T00:45Z", &["10-25T03:00:00+01:00", "10-26T03:00:00+01:00"]),
    (
        "*/30 * * * *",
        BERLIN,
        "2026-10-24T23:30Z",
        &[
            "10-25T02:00:00+02:00",
            "10-25T02:30:00+02:00",
            "10-25T02:00:00+01:00",
            "10-25T02:30:00+01:00",
            "10-25T03:00:00+01:00",
        ],
    ),
    // New York, 8 March and 1 November 2026.
    ("30 2 * * *", NEW_YORK, "2026-03-08T05:00Z", &["03-08T03:00:00-04:00", "03-09T02:30:00-04:00"]),
    ("30 1 * * *", NEW_YORK, "2026-11-01T04:00Z", &["11-01T01:30:00-04:00", "11-02T01:30:00-05:00"]),
    (
        "*/30 * * * *",
        NEW_YORK,
        "2026-11-01T04:30Z",
        &[
            "11-01T01:00:00-04:00",
            "11-01T01:30:00-04:00",
            "11-01T01:00:00-05:00",
            "11-01T01:30:00-05:00",
            "11-01T02:00:00-05:00",
        ],
    ),
    // Lord Howe jumps by half an hour: 4 October and 5 April 2026.
    ("15 2 * * *", LORD_HOWE, "2026-10-03T00:00Z", &["10-04T02:30:00+11:00", "10-05T02:15:00+11:00"]),
    ("45 1 * * *", LORD_HOWE, "2026-04-04T12:00Z", &["04-05T01:45:00+11:00", "04-06T01:45:00+10:30"]),
    ("15 * * * *", LORD_HOWE, "2026-10-03T14:30Z", &["10-04T01:15:00+10:30", "10-04T03:15:00+11:00"]),
    (
        "*/15 * * * *",
        LORD_HOWE,
        "2026-04-04T14:30Z",
        &["04-05T01:45:00+11:00", "04-05T01:30:00+10:30", "04-05T01:45:00+10:30", "04-05T02:00:00+10:30"],
    ),
    // UTC has no jumps; months have ends.
    ("0 0 29 2 *", "UTC", "2026-11-28T00:00Z", &["02-29T00:00:00+00:00", "02-29T00:00:00+00:00"]),
    ("0 9 L * *", "", "2026-11-28T00:00Z", &["11-30T09:00:00+00:00", "12-31T09:00:00+00:00"]),
    ("0 9 * * MON#1", "UTC", "2026-11-28T00:00Z", &["12-07T09:00:00+00:00", "01-04T09:00:00+00:00"]),
    ("*/20 0 0 * * *", "UTC", "2026-11-28T00:00:30Z", &["11-28T00:00:40+00:00", "11-29T00:00:00+00:00"]),
];

#[test]
fn local_time_that_jumps_is_read_by_the_written_rule() {
    for (expression, tz, after, expected) in TABLE {
        assert_eq!(&ticks(expression, tz, after, expected.len())[..], *expected, "{expression} in {tz}");
    }
}

/// Numbers that look random and are the same every time (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % sides
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[usize::try_from(self.roll(list.len() as u64)).unwrap()]
    }
}

/// The ticks between two instants by looking at every minute there is.
fn by_looking(expression: &str, zone: &TimeZone, from: Ms, to: Ms) -> Vec<Ms> {
    let (cron, is_real) = self::expression(expression).unwrap();
    let minutes = (from / 60_000 + 1)..=(to / 60_000);
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut before: Option<DateTime> = None;
    for minute in minutes.map(|minute| minute * 60_000) {
        let now = local(minute, zone).unwrap().datetime();
        let matches = |at: DateTime| cron.is_time_matching(&at).unwrap();
        // Local minutes that were jumped over stand for this one.
        let mut lost = before.map(|before| before + SignedDuration::from_mins(1));
        while let Some(at) = lost.filter(|&at| at < now && !is_real) {
            if matches(at) {
                found.insert(minute);
            }
            lost = Some(at + SignedDuration::from_mins(1));
        }
        if matches(now) && (is_real || seen.insert(now)) {
            found.insert(minute);
        }
        before = Some(before.filter(|&before| before > now && !is_real).unwrap_or(now));
    }
    found.into_iter().collect()
}

#[test]
fn every_reading_agrees_with_looking_at_every_minute() {
    let days = [
        ("Europe/Berlin", "2026-03-29T01:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00Z"),
        ("America/New_York", "2026-03-08T07:00Z"),
        ("America/New_York", "2026-11-01T06:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
        ("UTC", "2026-12-31T23:00Z"),
    ];
    let minutes = ["0", "30", "*", "*/15", "59", "10-20", "5,35"];
    let hours = ["*", "1", "2", "3", "1-3", "*/2", "0,2", "23", "22-23"];
    let mut dice = Dice(7);
    for _ in 0..400 {
        let (tz, jump) = days[usize::try_from(dice.roll(7)).unwrap()];
        let (minute, hour) = (dice.of(&minutes), dice.of(&hours));
        let day = dice.of(&["*", "*", "*/2", "L"]);
        let expression = format!("{minute} {hour} {day} * {}", dice.of(&["*", "*", "SUN", "1-5"]));
        let (from, to) = (at(jump) - 30 * 3_600_000, at(jump) + 30 * 3_600_000);
        let zone = zone(tz).unwrap();
        let almanac = Almanac::read(&cron(&expression, tz)).unwrap();
        let expected = by_looking(&expression, &zone, from, to);
        assert_eq!(almanac.last(from, to, 10_000), expected, "{expression} in {tz} around {jump}");
        let most = usize::try_from(1 + dice.roll(9)).unwrap();
        let last = &expected[expected.len().saturating_sub(most)..];
        assert_eq!(almanac.last(from, to, most), last, "the last {most} of {expression}");
    }
}

#[test]
fn intervals_are_counted_from_their_anchor_within_their_bounds() {
    let calendar =
        Calendar { every_ms: 10, anchor_at: 1_003, start_at: 40, end_at: 63, ..Calendar::default() };
    let almanac = Almanac::read(&calendar).unwrap();
    assert_eq!(almanac.next(0), Some(43));
    assert_eq!(almanac.last(0, 1_000, 10), [43, 53, 63]);
    assert_eq!(almanac.next(63), None);
    let wide = Calendar { every_ms: u64::MAX, anchor_at: 7, ..Calendar::default() };
    assert_eq!(Almanac::read(&wide).unwrap().next(0), Some(7));
    assert_eq!(Almanac::read(&wide).unwrap().next(7), None);
}

#[test]
fn an_answer_tells_the_last_ticks_and_counts_the_others() {
    let wanted = TickWanted {
        schedule: 3,
        calendar: cron("* * * * * *", ""),
        after: at("2026-01-01T00:00Z"),
        until: at("2026-11-01T00:00Z"),
        most: 2,
    };
    let tick = answer(&wanted);
    let until = wanted.until;
    assert_eq!((tick.due, tick.left_out, tick.next), (vec![until - 1_000, until], 998, until + 1_000));
    let rare = TickWanted { calendar: cron("* * * 1 6 *", ""), ..wanted };
    let midnight = at("2026-06-02T00:00Z");
    assert_eq!(answer(&rare).due, [midnight - 2_000, midnight - 1_000]);
    let none = TickWanted { calendar: cron("rubbish", ""), ..rare };
    assert_eq!(answer(&none), Tick { schedule: 3, until, due: Vec::new(), left_out: 0, next: 0 });
}

#[test]
fn no_noise_is_a_panic_and_no_tick_lies_in_the_past() {
    let words = [
        "*",
        "0",
        "59",
        "7",
        "31",
        "*/",
        "/0",
        "*/7",
        "1-",
        "-5",
        "5-1",
        "1-5",
        "60",
        "L",
        "W",
        "15W",
        "#",
        "MON#9",
        "SUN",
        "FEB",
        "?",
        ",",
        "1,2",
        "99999999999",
        "LW",
        "5L",
        "é",
        "\u{0}",
        "*/0",
        "@daily",
        "+1",
        "~",
        "A",
    ];
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Nowhere", "", "a/../b"];
    let mut dice = Dice(11);
    let mut read = 0;
    for _ in 0..1_500 {
        let count = if dice.roll(9) == 0 { dice.roll(9) } else { 5 + dice.roll(2) };
        let field = |dice: &mut Dice| match dice.roll(3) {
            0 => (0..=dice.roll(3)).map(|_| dice.of(&words)).collect::<String>(),
            _ => dice.of(&["*", "*", "1", "2,4", "*/3", "1-7"]).to_owned(),
        };
        let fields: Vec<String> = (0..count).map(|_| field(&mut dice)).collect();
        let calendar = cron(&fields.join(" "), dice.of(&zones));
        let Ok(almanac) = Almanac::read(&calendar) else { continue };
        read += 1;
        let after = at("2026-01-01T00:00Z") + dice.roll(366 * 86_400) * 1_000 + dice.roll(1_000);
        if let Some(next) = almanac.next(after) {
            assert!(next > after, "{calendar:?}");
            assert!(almanac.next(next).is_none_or(|later| later > next), "{calendar:?}");
        }
    }
    assert!(read > 100, "only {read} were expressions");
}
