//! Which lists a ClientFrame can hold, how long each may be, and what an entry costs once decoded.
//!
//! Protobuf lets two bytes on the wire become a struct of several hundred in memory. This table is what
//! the scan needs to refuse that before prost allocates. It is written by hand, and a test compares it
//! with the schema, so that no list can be forgotten.

use crate::limits;
use crate::v1;
use bytes::Bytes;

/// A message, reduced to those of its fields that can grow.
pub(crate) struct Shape {
    pub(crate) parts: &'static [Part],
}

/// A field that holds a list, or a message in which there is one.
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    /// How often the field may stand in one message. A single message may stand there once: protobuf
    /// would merge a second one into it, and its lists would escape their bound.
    pub(crate) max: usize,
    /// Memory for each entry.
    pub(crate) weight: usize,
    /// Memory that the first entry brings on top, because lists and maps grow in steps.
    pub(crate) opening: usize,
    pub(crate) content: Content,
}

/// What stands in a field.
pub(crate) enum Content {
    /// Nothing in which a list could hide.
    Leaf,
    /// Numbers, which can be packed many into one field.
    Numbers,
    /// A message with lists of its own.
    Message(&'static Shape),
}

/// Smallest piece that an allocator gives out, for the text behind a `String`.
const CHUNK: usize = 32;
/// A leaf of a `BTreeMap<String, String>`, which is allocated whole for the first entry.
const MAP_LEAF: usize = 560;

/// A `Vec` grows by doubling and begins with four places, so an entry is counted twice.
const fn list(number: u32, name: &'static str, max: usize, size: usize, content: Content) -> Part {
    Part { number, name, max, weight: 2 * size, opening: 2 * size, content }
}

const fn messages<T>(number: u32, name: &'static str, max: usize, shape: &'static Shape) -> Part {
    list(number, name, max, size_of::<T>(), Content::Message(shape))
}

const fn leaves<T>(number: u32, name: &'static str, max: usize) -> Part {
    list(number, name, max, size_of::<T>(), Content::Leaf)
}

const fn texts(number: u32, name: &'static str, max: usize) -> Part {
    list(number, name, max, size_of::<String>() + CHUNK, Content::Leaf)
}

const fn numbers(number: u32, name: &'static str, max: usize) -> Part {
    list(number, name, max, size_of::<u64>(), Content::Numbers)
}

const fn map(number: u32, name: &'static str, max: usize) -> Part {
    let weight = 2 * (size_of::<String>() + CHUNK);
    Part { number, name, max, weight, opening: MAP_LEAF, content: Content::Leaf }
}

const fn one(number: u32, name: &'static str, shape: &'static Shape) -> Part {
    Part { number, name, max: 1, weight: 0, opening: 0, content: Content::Message(shape) }
}

pub(crate) static CLIENT_FRAME: Shape = Shape {
    parts: &[
        one(2, "hello", &HELLO),
        one(3, "enqueue", &ENQUEUE),
        one(4, "fetch", &FETCH),
        one(5, "settle", &SETTLE),
        one(6, "touch", &TOUCH),
        one(7, "change", &CHANGE),
        one(8, "query", &QUERY),
        one(9, "watch", &WATCH),
        one(10, "put", &PUT),
    ],
};

static HELLO: Shape = Shape {
    parts: &[
        map(8, "labels", limits::LABELS_MAX),
        one(12, "running", &RUNNING),
        texts(13, "require", limits::REQUIRE_MAX),
    ],
};

static RUNNING: Shape =
    Shape { parts: &[leaves::<v1::hello::running::Held>(1, "held", limits::RUNNING_MAX)] };

static ENQUEUE: Shape =
    Shape { parts: &[messages::<v1::JobSpec>(1, "jobs", limits::JOBS_PER_FRAME_MAX, &JOB_SPEC)] };

static JOB_SPEC: Shape = Shape {
    parts: &[
        map(7, "headers", limits::HEADERS_MAX),
        texts(13, "limits", limits::LIMITS_MAX),
        texts(14, "tags", limits::TAGS_MAX),
        one(15, "policy", &POLICY),
        leaves::<v1::After>(17, "after", limits::AFTER_MAX),
        map(23, "need_labels", limits::NEED_LABELS_MAX),
    ],
};

static POLICY: Shape = Shape { parts: &[one(3, "backoff", &BACKOFF)] };

static BACKOFF: Shape = Shape { parts: &[numbers(6, "list_ms", limits::BACKOFF_LIST_MAX)] };

static FETCH: Shape = Shape {
    parts: &[
        leaves::<v1::fetch::Source>(2, "sources", limits::SOURCES_MAX),
        texts(4, "kinds", limits::KINDS_MAX),
    ],
};

static SETTLE: Shape =
    Shape { parts: &[messages::<v1::Result>(1, "results", limits::JOBS_PER_FRAME_MAX, &RESULT)] };

static RESULT: Shape = Shape { parts: &[messages::<v1::JobSpec>(7, "spawn", limits::SPAWN_MAX, &JOB_SPEC)] };

static TOUCH: Shape = Shape {
    parts: &[
        one(1, "beat", &BEAT),
        messages::<v1::JobTouch>(2, "jobs", limits::JOBS_PER_FRAME_MAX, &JOB_TOUCH),
    ],
};

static BEAT: Shape = Shape { parts: &[map(6, "labels", limits::LABELS_MAX)] };

static JOB_TOUCH: Shape =
    Shape { parts: &[leaves::<v1::LogLine>(6, "logs", limits::LOG_LINES_PER_TOUCH_MAX)] };

static CHANGE: Shape =
    Shape { parts: &[one(1, "select", &SELECTOR), one(15, "patch", &PATCH), one(18, "tell", &TELL)] };

static PATCH: Shape = Shape {
    parts: &[
        one(2, "policy", &POLICY),
        texts(4, "add_tags", limits::TAGS_MAX),
        texts(5, "remove_tags", limits::TAGS_MAX),
    ],
};

static TELL: Shape = Shape { parts: &[map(2, "labels", limits::LABELS_MAX)] };

static SELECTOR: Shape = Shape {
    parts: &[
        leaves::<Bytes>(1, "ids", limits::JOBS_PER_FRAME_MAX),
        texts(5, "tags", limits::TAGS_MAX),
        numbers(6, "states", limits::STATES_MAX),
    ],
};

static QUERY: Shape = Shape { parts: &[one(1, "select", &SELECTOR), texts(4, "fields", limits::FIELDS_MAX)] };

static WATCH: Shape =
    Shape { parts: &[one(2, "select", &SELECTOR), texts(3, "names", limits::EVENT_NAMES_MAX)] };

static PUT: Shape = Shape {
    parts: &[
        messages::<v1::Resource>(1, "set", limits::RESOURCES_PER_FRAME_MAX, &RESOURCE),
        texts(2, "remove", limits::RESOURCES_PER_FRAME_MAX),
    ],
};

static RESOURCE: Shape = Shape {
    parts: &[
        one(3, "queue", &QUEUE_CONF),
        one(4, "kind", &POLICY),
        one(5, "namespace", &POLICY),
        one(7, "schedule", &SCHEDULE),
        one(8, "sink", &SINK),
        one(9, "token", &TOKEN),
    ],
};

static QUEUE_CONF: Shape = Shape { parts: &[one(1, "policy", &POLICY)] };

static SCHEDULE: Shape = Shape { parts: &[one(6, "job", &JOB_SPEC)] };

static SINK: Shape =
    Shape { parts: &[texts(3, "names", limits::EVENT_NAMES_MAX), one(4, "select", &SELECTOR)] };

static TOKEN: Shape = Shape {
    parts: &[
        texts(2, "roles", limits::TOKEN_LIST_MAX),
        texts(3, "queues", limits::TOKEN_LIST_MAX),
        texts(4, "namespaces", limits::TOKEN_LIST_MAX),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use protox::prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

    #[test]
    fn every_list_of_the_schema_is_in_the_table() {
        let root = env!("CARGO_MANIFEST_DIR");
        let files = protox::compile(["v1/windlass.proto"], [root]).unwrap();
        let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
        let frame = pool.get_message_by_name("windlass.v1.ClientFrame").unwrap();
        compare(&frame, &CLIENT_FRAME);
    }

    /// Checks that `shape` names exactly the fields of `message` that can grow, with their numbers.
    fn compare(message: &MessageDescriptor, shape: &Shape) {
        let growing: Vec<FieldDescriptor> = message.fields().filter(grows).collect();
        let schema: Vec<_> = growing.iter().map(|f| (f.number(), f.name().to_owned())).collect();
        let table: Vec<_> = shape.parts.iter().map(|p| (p.number, p.name.to_owned())).collect();
        assert_eq!(schema, table, "{}", message.full_name());
        for (field, part) in growing.iter().zip(shape.parts) {
            let path = field.full_name();
            match (field.kind(), &part.content) {
                (Kind::Message(inner), Content::Message(shape)) => compare(&inner, shape),
                (Kind::Message(inner), Content::Leaf) => {
                    assert!(field.is_map() || !inner.fields().any(|f| grows(&f)), "{path}");
                }
                (kind, content) => {
                    let packs = field.is_packed();
                    assert_eq!(packs, matches!(content, Content::Numbers), "{path}: {kind:?}");
                }
            }
            assert_eq!(field.is_list() || field.is_map(), part.max > 1, "{path}");
        }
    }

    fn grows(field: &FieldDescriptor) -> bool {
        let kind = field.kind();
        let message = kind.as_message().filter(|_| !field.is_map());
        let inside = message.is_some_and(|message| message.fields().any(|f| grows(&f)));
        field.is_list() || field.is_map() || inside
    }
}
