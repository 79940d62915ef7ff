//! Lengths of time and instants as people write them: `1h30m`, `PT5M`, `2027-01-01T00:00:00Z`.

use jiff::{Span, SpanRelativeTo, Timestamp, Unit};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// A length of time in a body, as text.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Length(pub(super) u64);

/// An instant in a body, as RFC 3339.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Moment(pub(super) u64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ms(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        instant(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl PartialSchema for Length {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.pattern(Some("^[0-9]{1,6}(ms|s|m|h|d)$")).examples(["90s", "15m", "7d"]).into()
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).into()
    }
}

impl ToSchema for Length {}
impl ToSchema for Moment {}

/// A length of time in milliseconds. A day is 24 hours.
pub(super) fn ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no length of time; write it like 90s, 1h30m or 7d");
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(format!("{text:?}: months and years have no fixed length; write days"));
    }
    let total = span.total((Unit::Millisecond, SpanRelativeTo::days_are_24_hours())).map_err(|_| wrong())?;
    if !(0.0..1e15).contains(&total) {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within 0 and 1e15")]
    Ok(total.round() as u64)
}

/// An instant in milliseconds since 1970.
pub(super) fn instant(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no instant; write it like 2027-01-01T09:30:00Z");
    let at: Timestamp = text.trim().parse().map_err(|_| wrong())?;
    u64::try_from(at.as_millisecond()).ok().filter(|&at| at > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_instants_are_read_as_people_write_them() {
        for (text, expected) in
            [("90s", 90_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("PT5M", 300_000)]
        {
            assert_eq!(ms(text), Ok(expected), "{text}");
        }
        for wrong in ["", "10", "-5m", "1mo", "1y", "soon"] {
            assert!(ms(wrong).is_err(), "{wrong}");
        }
        assert_eq!(instant("2030-01-01T00:00:00.001Z"), Ok(1_893_456_000_001));
        assert_eq!(instant("2030-01-01T02:00:00+02:00"), Ok(1_893_456_000_000));
        for wrong in ["2030-01-01", "1969-01-01T00:00:00Z", "x"] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
    }
}
