//! Messages of the protocol as people write them, in TOML for `admin apply` and in JSON for the gateway: the
//! same names and the same nesting, enums in words, and nothing said of what is not set.

use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use windlass_proto::v1 as proto;

/// What can be written, and what it is on the wire.
pub trait Written: Sized {
    /// The message of the protocol.
    type Wire;
    /// As it is written.
    fn read(wire: Self::Wire) -> Self;
    /// As it goes over the wire.
    fn wire(self) -> Self::Wire;
}

macro_rules! as_it_is {
    ($($kind:ty),*) => {$(
        impl Written for $kind {
            type Wire = $kind;

            fn read(wire: $kind) -> $kind {
                wire
            }

            fn wire(self) -> $kind {
                self
            }
        }
    )*};
}

as_it_is!(bool, u32, u64, String, BTreeMap<String, String>);

impl<T: Written> Written for Option<T> {
    type Wire = Option<T::Wire>;

    fn read(wire: Self::Wire) -> Self {
        wire.map(T::read)
    }

    fn wire(self) -> Self::Wire {
        self.map(T::wire)
    }
}

impl<T: Written> Written for Vec<T> {
    type Wire = Vec<T::Wire>;

    fn read(wire: Self::Wire) -> Self {
        wire.into_iter().map(T::read).collect()
    }

    fn wire(self) -> Self::Wire {
        self.into_iter().map(T::wire).collect()
    }
}

/// A payload that is text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Text(String);

impl Written for Text {
    type Wire = Bytes;

    fn read(wire: Bytes) -> Self {
        Self(String::from_utf8_lossy(&wire).into_owned())
    }

    fn wire(self) -> Bytes {
        self.0.into()
    }
}

fn is_unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An enum by the words that the schema has for it, without their prefix and in lower case.
macro_rules! words {
    ($($name:ident = $wire:ty, $prefix:literal;)*) => {$(
        /// A word of the schema.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct $name(i32);

        impl Written for $name {
            type Wire = i32;

            fn read(wire: i32) -> Self {
                Self(wire)
            }

            fn wire(self) -> i32 {
                self.0
            }
        }

        impl $name {
            fn words() -> Vec<String> {
                let known = (1..).map_while(|number| <$wire>::try_from(number).ok());
                known.map(|value| value.as_str_name().trim_start_matches($prefix).to_lowercase()).collect()
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let word = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
                word.enum_values(Some(Self::words())).into()
            }
        }

        impl ToSchema for $name {}

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let name = <$wire>::try_from(self.0).map_or("", |value| value.as_str_name());
                serializer.serialize_str(&name.trim_start_matches($prefix).to_lowercase())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                let name = format!("{}{}", $prefix, word.to_uppercase());
                match <$wire>::from_str_name(&name) {
                    Some(value) => Ok(Self(value.into())),
                    None => Err(serde::de::Error::custom(format!(
                        "{word:?} is none of {}", Self::words().join(", ")
                    ))),
                }
            }
        }
    )*};
}

words! {
    Overflow = proto::queue_conf::Overflow, "OVERFLOW_";
    Dispatch = proto::queue_conf::Dispatch, "DISPATCH_";
    Overlap = proto::schedule::Overlap, "OVERLAP_";
    CatchUp = proto::schedule::CatchUp, "CATCH_UP_";
    Shape = proto::backoff::Shape, "SHAPE_";
    Ordering = proto::Ordering, "ORDERING_";
    Until = proto::dedup::Until, "UNTIL_";
    OnConflict = proto::dedup::OnConflict, "ON_CONFLICT_";
}

/// Reads what has named fields. By itself serde would take a list of values as well, whose order is
/// nobody's promise.
///
/// # Errors
/// When it is a list, or what its fields are refused for.
pub fn of_fields<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Fields<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
        type Value = T;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("named fields")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Fields(PhantomData))
}

/// A message, field by field.
macro_rules! messages {
    ($($name:ident = $wire:ty { $($field:ident: $kind:ty,)* })*) => {$(
        /// A message of the protocol, with its names.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(#[doc = concat!("As `", stringify!($field), "` of the protocol.")]
            #[serde(skip_serializing_if = "is_unset")]
            pub $field: $kind,)*
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Default, Deserialize)]
                #[serde(deny_unknown_fields, default)]
                struct Fields {
                    $($field: $kind,)*
                }

                let Fields { $($field,)* } = of_fields(deserializer)?;
                Ok(Self { $($field,)* })
            }
        }

        impl Written for $name {
            type Wire = $wire;

            fn read(wire: $wire) -> Self {
                Self { $($field: Written::read(wire.$field),)* }
            }

            fn wire(self) -> $wire {
                let mut wire = <$wire>::default();
                $(wire.$field = self.$field.wire();)*
                wire
            }
        }
    )*};
}

messages! {
    Backoff = proto::Backoff {
        shape: Shape,
        base_ms: u64,
        factor_permille: u32,
        max_ms: u64,
        jitter_permille: Option<u32>,
        list_ms: Vec<u64>,
    }
    Policy = proto::Policy {
        priority: Option<u32>,
        max_attempts: Option<u32>,
        backoff: Option<Backoff>,
        max_crashes: Option<u32>,
        lease_ms: Option<u64>,
        timeout_ms: Option<u64>,
        stall_ms: Option<u64>,
        ttl_ms: Option<u64>,
        keep_done_ms: Option<u64>,
        keep_dead_ms: Option<u64>,
        keep_done_max: Option<u32>,
        cost: Option<u32>,
        ordering: Option<Ordering>,
    }
    QueueConf = proto::QueueConf {
        max_jobs: u64,
        max_bytes: u64,
        max_payload: u64,
        overflow: Overflow,
        slo_ms: u64,
        fair_every: u32,
        keep_bytes: u64,
        dispatch: Dispatch,
        policy: Option<Policy>,
    }
    Limit = proto::Limit {
        queue: String,
        kind: String,
        key: String,
        per_key: bool,
        concurrency: Option<u32>,
        rate: u64,
        per_ms: u64,
        burst: u64,
        until_at_ms: u64,
        why: String,
        breaker_failure_permille: u32,
        breaker_min_samples: u32,
        breaker_open_ms: u64,
        breaker_probes: u32,
        retry_permille: u32,
    }
    Job = proto::JobSpec {
        queue: String,
        kind: String,
        key: String,
        payload: Text,
        content_type: String,
        headers: BTreeMap<String, String>,
        tags: Vec<String>,
        limits: Vec<String>,
        need_labels: BTreeMap<String, String>,
        weight: u32,
        content_encoding: String,
        policy: Option<Policy>,
        dedup: Option<Dedup>,
    }
    Dedup = proto::Dedup {
        key: String,
        whole_namespace: bool,
        until: Until,
        window_ms: u64,
        on_conflict: OnConflict,
    }
    Schedule = proto::Schedule {
        cron: String,
        tz: String,
        every_ms: u64,
        anchor_at_ms: u64,
        jitter_ms: u64,
        overlap: Overlap,
        catch_up: CatchUp,
        catch_up_window_ms: u64,
        catch_up_max: u32,
        start_at_ms: u64,
        end_at_ms: u64,
        max_runs: u64,
        paused: bool,
        pause_after_failures: u32,
        job: Option<Job>,
    }
    Sink = proto::Sink {
        url: String,
        secret: String,
        names: Vec<String>,
        select: Option<Select>,
    }
    Select = proto::Selector {
        queue: String,
        kind: String,
        key: String,
    }
}
