//! Walks over an undecoded ClientFrame and counts what prost would allocate for it.
//!
//! The walk costs a few nanoseconds a field and allocates nothing, so that a hostile frame is refused
//! at the price of reading it.

use crate::shape::{CLIENT_FRAME, Content, Part, Shape};
use crate::v1::Code;

/// Memory that any frame may decode into, whatever its length: enough for 10,000 jobs of a few bytes
/// each. On top come `DECODED_BYTES_PER_BYTE` for each byte of the frame.
pub(crate) const DECODED_BYTES_BASE: usize = 32 * 1024 * 1024;
pub(crate) const DECODED_BYTES_PER_BYTE: usize = 8;

/// Longest list of parts in the table, for the counters of one message.
const PARTS_MAX: usize = 9;

/// Why a frame is not decoded.
#[derive(Debug, PartialEq)]
pub(crate) enum Stop {
    /// It is not protobuf.
    Malformed,
    /// It breaks a bound.
    Refused { code: Code, message: String, field: String },
}

/// Estimates the memory that `frame` takes when decoded, or says why it must not be.
///
/// # Errors
/// `Stop::Refused` if a list or the whole is over its bound, `Stop::Malformed` if it is not protobuf.
pub(crate) fn weigh(frame: &[u8]) -> Result<usize, Stop> {
    let budget = DECODED_BYTES_BASE + DECODED_BYTES_PER_BYTE * frame.len();
    let mut scan = Scan { weight: 0, budget };
    scan.message(&CLIENT_FRAME, frame).map_err(Stop::below_the_verb)?;
    Ok(frame.len() + scan.weight)
}

/// The id of a frame whose content is not to be decoded; 0 if it has none.
pub(crate) fn frame_id(frame: &[u8]) -> u64 {
    const ID: u32 = 1;
    let mut rest = frame;
    let mut id = 0;
    while let Ok(Some(field)) = next_field(&mut rest) {
        if let (ID, Value::Varint(value)) = (field.number, field.value) {
            id = value;
        }
    }
    id
}

struct Scan {
    weight: usize,
    budget: usize,
}

impl Scan {
    fn message(&mut self, shape: &Shape, bytes: &[u8]) -> Result<(), Stop> {
        let mut counts = [0; PARTS_MAX];
        let mut rest = bytes;
        while let Some(field) = next_field(&mut rest)? {
            let place = shape.parts.iter().position(|part| part.number == field.number);
            if let Some(place) = place {
                self.part(&shape.parts[place], &mut counts[place], &field.value)?;
            }
        }
        Ok(())
    }

    fn part(&mut self, part: &Part, count: &mut usize, value: &Value<'_>) -> Result<(), Stop> {
        let index = *count;
        let entries = match (&part.content, value) {
            (Content::Numbers, Value::Bytes(packed)) => numbers_in(packed),
            _ => 1,
        };
        *count += entries;
        if *count > part.max {
            return Err(too_many(part));
        }
        self.weight += entries * part.weight + if index == 0 { part.opening } else { 0 };
        if self.weight > self.budget {
            return Err(too_heavy(part));
        }
        match (&part.content, value) {
            (Content::Message(shape), Value::Bytes(bytes)) => {
                self.message(shape, bytes).map_err(|stop| stop.inside(part, index))
            }
            _ => Ok(()),
        }
    }
}

impl Stop {
    /// Paths begin inside the request's message, because its id already tells which request it is.
    fn below_the_verb(self) -> Stop {
        match self {
            Stop::Malformed => Stop::Malformed,
            Stop::Refused { code, message, field } => {
                let field = match field.split_once('.') {
                    Some((_, path)) => path.to_owned(),
                    None => field,
                };
                Stop::Refused { code, message, field }
            }
        }
    }

    /// Puts the field that encloses the fault before its path.
    fn inside(self, part: &Part, index: usize) -> Stop {
        match self {
            Stop::Malformed => Stop::Malformed,
            Stop::Refused { code, message, field } => {
                let field = if part.max == 1 {
                    format!("{}.{field}", part.name)
                } else {
                    format!("{}[{index}].{field}", part.name)
                };
                Stop::Refused { code, message, field }
            }
        }
    }
}

fn too_many(part: &Part) -> Stop {
    let field = part.name.to_owned();
    if part.max == 1 {
        let message = format!("{field} is given more than once");
        return Stop::Refused { code: Code::Invalid, message, field };
    }
    let message = format!("{field} has more than {} entries", part.max);
    Stop::Refused { code: Code::TooLarge, message, field }
}

fn too_heavy(part: &Part) -> Stop {
    let message = "the frame would take too much memory; send it in smaller parts".to_owned();
    Stop::Refused { code: Code::TooLarge, message, field: part.name.to_owned() }
}

/// How many varints stand in a packed field: each ends with a byte below 128.
fn numbers_in(packed: &[u8]) -> usize {
    packed.iter().filter(|byte| **byte < 0x80).count()
}

struct Field<'a> {
    number: u32,
    value: Value<'a>,
}

enum Value<'a> {
    Varint(u64),
    Fixed,
    Bytes(&'a [u8]),
}

/// Takes the next field off `rest`; none is left at its end. Groups, which proto3 does not have, count
/// as malformed.
fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Option<Field<'a>>, Stop> {
    if rest.is_empty() {
        return Ok(None);
    }
    let key = varint(rest)?;
    let number = u32::try_from(key >> 3).map_err(|_| Stop::Malformed)?;
    let value = match key & 7 {
        0 => Value::Varint(varint(rest)?),
        1 => take(rest, 8).map(|_| Value::Fixed)?,
        2 => {
            let len = varint(rest)?;
            Value::Bytes(take(rest, len)?)
        }
        5 => take(rest, 4).map(|_| Value::Fixed)?,
        _ => return Err(Stop::Malformed),
    };
    Ok(Some(Field { number, value }))
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], Stop> {
    let len = usize::try_from(len).map_err(|_| Stop::Malformed)?;
    let (taken, left) = rest.split_at_checked(len).ok_or(Stop::Malformed)?;
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, Stop> {
    let mut value = 0;
    for (place, byte) in rest.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            *rest = &rest[place + 1..];
            return Ok(value);
        }
    }
    Err(Stop::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{ClientFrame, Enqueue, JobSpec, Settle, client_frame::Request};
    use prost::Message;

    fn enqueue(jobs: Vec<JobSpec>) -> Vec<u8> {
        let request = Request::Enqueue(Enqueue { jobs, ..Default::default() });
        ClientFrame { id: 7, request: Some(request) }.encode_to_vec()
    }

    fn field_at_fault(frame: &[u8]) -> (Code, String) {
        match weigh(frame) {
            Err(Stop::Refused { code, field, .. }) => (code, field),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn the_counters_are_enough_for_every_shape() {
        fn check(shape: &Shape) {
            assert!(shape.parts.len() <= PARTS_MAX);
            for part in shape.parts {
                if let Content::Message(inner) = part.content {
                    check(inner);
                }
            }
        }
        check(&CLIENT_FRAME);
    }

    #[test]
    fn a_full_frame_of_small_jobs_passes() {
        let headers = [("a", "b"), ("traceparent", "0")].map(|(k, v)| (k.into(), v.into())).into();
        let job = JobSpec { kind: "k".into(), headers, tags: vec!["t".into(); 3], ..Default::default() };
        assert!(weigh(&enqueue(vec![job; 10_000])).is_ok());
        assert!(weigh(&enqueue(vec![JobSpec::default(); 10_000])).is_ok());
    }

    #[test]
    fn a_list_over_its_bound_names_its_path() {
        let frame = enqueue(vec![JobSpec::default(); 10_001]);
        assert_eq!(field_at_fault(&frame), (Code::TooLarge, "jobs".into()));
        let mut jobs = vec![JobSpec::default(); 5];
        jobs[3].tags = vec![String::new(); 17];
        let frame = enqueue(jobs);
        assert_eq!(field_at_fault(&frame), (Code::TooLarge, "jobs[3].tags".into()));
    }

    #[test]
    fn a_message_given_twice_cannot_hide_its_lists() {
        let mut frame = enqueue(vec![JobSpec::default(); 6_000]);
        frame.extend(enqueue(vec![JobSpec::default(); 6_000]));
        assert_eq!(field_at_fault(&frame), (Code::Invalid, "enqueue".into()));
    }

    #[test]
    fn packed_numbers_are_counted() {
        let mut job = JobSpec::default();
        let backoff = crate::v1::Backoff { list_ms: vec![1; 65], ..Default::default() };
        job.policy = Some(crate::v1::Policy { backoff: Some(backoff), ..Default::default() });
        let field = "jobs[0].policy.backoff.list_ms";
        assert_eq!(field_at_fault(&enqueue(vec![job])), (Code::TooLarge, field.into()));
    }

    #[test]
    fn many_spawned_jobs_are_too_heavy_together() {
        let result = crate::v1::Result { spawn: vec![JobSpec::default(); 999], ..Default::default() };
        let settle = Settle { results: vec![result; 200] };
        let frame = ClientFrame { id: 7, request: Some(Request::Settle(settle)) }.encode_to_vec();
        let (code, field) = field_at_fault(&frame);
        assert_eq!(code, Code::TooLarge);
        assert!(field.starts_with("results["), "{field}");
    }

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        assert_eq!(frame_id(&enqueue(vec![JobSpec::default()])), 7);
        let mut frame = Vec::new();
        ClientFrame { id: 0, request: Some(Request::Bye(Default::default())) }.encode(&mut frame).unwrap();
        frame.extend([0x08, 0xac, 0x02]);
        assert_eq!(frame_id(&frame), 300);
        assert_eq!(frame_id(&[]), 0);
    }
}
