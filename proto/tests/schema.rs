//! Keeps the schema in buf's standard style, and every piece of it explained.

use protox::prost_reflect::{DescriptorPool, EnumDescriptor, MessageDescriptor};

const ENTRY: &str = "v1/windlass.proto";

#[test]
fn every_message_field_enum_and_value_is_explained() {
    let pool = pool();
    let mut bare = Vec::new();
    for file in pool.files().filter(|file| file.package_name() == "windlass.v1") {
        let file = file.file_descriptor_proto();
        for place in &file.source_code_info.as_ref().expect("protox keeps comments").location {
            let explained = [place.leading_comments(), place.trailing_comments()]
                .iter()
                .any(|comment| comment.trim().ends_with(['.', ':', ')', ';']));
            if is_named(&place.path) && !explained {
                bare.push(format!("{}:{}", file.name(), place.span[0] + 1));
            }
        }
    }
    assert!(bare.is_empty(), "no comment, or no whole sentence: {bare:?}");
}

/// Whether a path of `SourceCodeInfo` leads to a message (4 in a file, 3 in a message), a field (2), a
/// oneof (8), an enum (5 and 4) or a value (2) itself, and not to a part of it.
fn is_named(path: &[i32]) -> bool {
    let mut kinds: Vec<i32> = path.chunks(2).map(|step| step[0]).collect();
    let ends_at_an_index = path.len().is_multiple_of(2);
    let last = kinds.pop();
    let inside_message = kinds.first() == Some(&4);
    let inside_enum = kinds.last() == Some(&5) || (kinds.len() > 1 && kinds.last() == Some(&4));
    ends_at_an_index
        && match last {
            Some(4 | 5) if kinds.is_empty() => true,
            Some(3 | 4 | 8) => inside_message,
            Some(2) => inside_message || inside_enum,
            _ => false,
        }
}

#[test]
fn enums_begin_with_unspecified_and_prefix_their_values() {
    for an_enum in enums(&pool()) {
        let prefix = upper_snake(an_enum.name());
        let zero = an_enum.get_value(0).expect("an enum of proto3 has a zero");
        assert_eq!(zero.name(), format!("{prefix}_UNSPECIFIED"), "{}", an_enum.full_name());
        for value in an_enum.values() {
            assert!(value.name().starts_with(&format!("{prefix}_")), "{}", value.full_name());
        }
    }
}

#[test]
fn names_are_in_the_usual_case() {
    for message in messages(&pool()) {
        assert!(is_pascal(message.name()), "{}", message.full_name());
        for field in message.fields() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(field.name().chars().all(plain), "{}", field.full_name());
        }
    }
    for an_enum in enums(&pool()) {
        assert!(is_pascal(an_enum.name()), "{}", an_enum.full_name());
    }
}

#[test]
fn instants_durations_and_shares_are_whole_numbers() {
    use protox::prost_reflect::Kind;
    for message in messages(&pool()) {
        for field in message.fields() {
            let expected = match field.name() {
                name if name.ends_with("_ms") || name.ends_with("_bytes") => Kind::Uint64,
                name if name.ends_with("_permille") && name != "load_permille" => Kind::Uint32,
                "fence" | "seq" | "epoch" => Kind::Uint64,
                _ => continue,
            };
            assert_eq!(field.kind(), expected, "{}", field.full_name());
        }
    }
}

#[test]
fn a_name_means_one_thing() {
    let mut seen = std::collections::BTreeSet::new();
    for message in messages(&pool()) {
        let top_level = message.parent_message().is_none();
        assert!(!top_level || seen.insert(message.name().to_owned()), "{}", message.full_name());
    }
}

fn pool() -> DescriptorPool {
    let files = protox::compile([ENTRY], [env!("CARGO_MANIFEST_DIR")]).expect("the schema compiles");
    DescriptorPool::from_file_descriptor_set(files).expect("protox made it")
}

fn messages(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    pool.all_messages().filter(|message| !message.is_map_entry()).collect()
}

fn enums(pool: &DescriptorPool) -> Vec<EnumDescriptor> {
    pool.all_enums().collect()
}

fn upper_snake(pascal: &str) -> String {
    let mut snake = String::new();
    for (place, letter) in pascal.char_indices() {
        if letter.is_ascii_uppercase() && place > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_uppercase());
    }
    snake
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('_')
}
