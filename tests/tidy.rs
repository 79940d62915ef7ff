//! The repository's own rules: sizes, arrows, words, and documents that agree with the code.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, generated ones excepted. The list of exceptions is empty and stays so.
const FILE_LINES_MAX: usize = 600;
const EXCEPTIONS: &[&str] = &[];

/// Names of files and folders that say nothing about what is inside.
const DRAWERS: &[&str] =
    &["utils", "util", "common", "helpers", "helper", "manager", "misc", "types", "models"];

/// Which words may not stand in which part of the tree: a floor knows only what is below it.
const ARROWS: &[(&str, &[&str])] = &[
    ("proto/src", &["windlass_engine", "windlass_broker", "windlass_client", "worker_example"]),
    (
        "broker/engine/src",
        &["windlass_proto", "windlass_broker", "windlass_client", "prost", "tokio", "std::time"],
    ),
    (
        "broker/src/store",
        &["windlass_proto", "crate::driver", "crate::session", "crate::net", "crate::cli", "tokio::"],
    ),
    ("broker/src/driver", &["windlass_proto", "crate::session", "crate::net", "crate::cli"]),
    ("broker/src/session", &["crate::store", "crate::driver", "crate::net", "crate::cli", "sled::"]),
    ("broker/src/json", &["windlass_engine", "windlass_client", "crate::"]),
    (
        "broker/src/local",
        &["crate::store", "crate::driver", "crate::cli", "crate::http", "crate::net", "sled::"],
    ),
    (
        "broker/src/http",
        &[
            "windlass_engine",
            "crate::store",
            "crate::driver",
            "crate::session",
            "crate::cli",
            "crate::door",
            "sled::",
        ],
    ),
    (
        "broker/src/tokens",
        &[
            "crate::store",
            "crate::driver",
            "crate::session",
            "crate::net",
            "crate::http",
            "crate::cli",
            "sled::",
        ],
    ),
    ("broker/src/net", &["crate::store", "crate::driver", "crate::cli", "sled::"]),
    ("broker/src/cli", &["windlass_engine", "crate::store", "crate::driver", "crate::session"]),
    (
        "broker/src/history",
        &["windlass_proto", "crate::store", "crate::driver", "crate::session", "crate::net", "crate::cli"],
    ),
    (
        "broker/src/metrics",
        &["windlass_proto", "crate::store", "crate::driver", "crate::session", "crate::net", "crate::cli"],
    ),
    (
        "broker/src/door.rs",
        &["windlass_proto", "crate::store", "crate::driver", "crate::session", "crate::net"],
    ),
    ("client/src", &["windlass_engine", "windlass_broker", "worker_example"]),
    ("worker-example/src", &["windlass_engine", "windlass_broker", "windlass_proto"]),
];

/// What may be named in one place only.
const CONFINED: &[(&str, &[&str])] = &[
    ("sled::", &["broker/src/store/sled_leaves"]),
    ("bincode::", &["broker/src/store/record.rs"]),
    // Time is an argument everywhere else; a worker dates the lines of its log.
    ("SystemTime::now", &["broker/src/clock.rs", "client/src/millis.rs"]),
    ("allow(unsafe_code", &["broker/src/store/durable_sync.rs"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every source file of ours with its path from the root, generated ones excepted.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["proto", "broker", "client", "worker-example", "tests"] {
        walk(&root().join(folder), &mut found);
    }
    assert!(found.len() > 100, "the walk went astray");
    found
}

fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                walk(&path, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            if !text.starts_with("// @generated") && !name.ends_with("src/v1.rs") {
                found.push((name, text));
            }
        }
    }
}

/// Neither a test nor an example.
fn is_product(name: &str) -> bool {
    !name.starts_with("tests/") && !name.contains("/tests") && !name.contains("/examples/")
}

/// The part of a file that is not its tests, without comments.
fn code(text: &str) -> String {
    let product = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX && !EXCEPTIONS.contains(&name.as_str()) {
            faults.push(format!("{name} has {lines} lines"));
        }
        if !text.starts_with("//!") {
            faults.push(format!("{name} does not begin with what it is for"));
        }
        let stem = Path::new(&name).iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs"));
        if stem.into_iter().any(|part| DRAWERS.contains(&part)) {
            faults.push(format!("{name} is a drawer"));
        }
    }
    assert!(EXCEPTIONS.is_empty());
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn no_floor_knows_the_floors_above_it() {
    let mut faults = Vec::new();
    for (name, text) in sources().iter().filter(|(name, _)| is_product(name)) {
        let product = code(text);
        for (floor, banned) in ARROWS.iter().filter(|(floor, _)| name.starts_with(floor)) {
            for word in banned.iter().filter(|word| product.contains(*word)) {
                faults.push(format!("{name} names {word}, which {floor} must not know"));
            }
        }
        for (word, homes) in CONFINED {
            if product.contains(word) && !homes.iter().any(|home| name.starts_with(home)) {
                faults.push(format!("{name} names {word}, which belongs into {}", homes[0]));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn manifests_have_no_arrow_that_the_design_does_not() {
    let allowed = [
        ("proto", vec![]),
        ("broker/engine", vec![]),
        ("client", vec!["windlass-proto"]),
        ("worker-example", vec!["windlass-client"]),
        ("broker", vec!["windlass-client", "windlass-engine", "windlass-proto", "worker-example"]),
    ];
    for (folder, allowed) in allowed {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let product = manifest.split("[dev-dependencies]").next().unwrap();
        let ours = product.lines().filter_map(|line| {
            let name = line.split(['.', ' ', '=']).next()?;
            (name.starts_with("windlass-") || name == "worker-example").then_some(name)
        });
        for name in ours {
            assert!(allowed.contains(&name), "{folder} depends on {name}");
        }
    }
}

#[test]
fn nothing_is_left_undone_in_the_code() {
    let marks =
        ["FIX", "TO", "XX"].into_iter().zip(["ME", "DO:", "X "]).map(|(one, two)| one.to_owned() + two);
    let marks: Vec<String> = marks.chain(["todo".to_owned() + "!(", "#[ig".to_owned() + "nore"]).collect();
    let mut faults = Vec::new();
    for (name, text) in sources() {
        faults.extend(
            marks.iter().filter(|mark| text.contains(*mark)).map(|mark| format!("{name} has {mark}")),
        );
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_guarantee_names_a_place_and_a_test_that_exist() {
    let page = fs::read_to_string(root().join("docs/GUARANTEES.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| G")).collect();
    assert!(rows.len() >= 11, "the table went away");
    for row in rows {
        let named: Vec<&str> = row.split('`').skip(1).step_by(2).filter(|name| name.contains('/')).collect();
        assert!(named.len() >= 2, "{row}");
        for name in named {
            let (file, function) = name.split_once("::").unwrap_or((name, ""));
            let path = root().join(file);
            assert!(path.exists(), "{file} does not exist: {row}");
            if !function.is_empty() {
                let text = fs::read_to_string(path).unwrap();
                assert!(text.contains(&format!("fn {function}(")), "{file} has no test {function}");
            }
        }
    }
}

#[test]
fn every_flag_of_serve_is_in_the_operators_table() {
    let page = fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let config = fs::read_to_string(root().join("broker/src/config.rs")).unwrap();
    let names: Vec<&str> =
        config.lines().filter_map(|line| line.split("env = \"").nth(1)?.split('"').next()).collect();
    assert!(names.len() > 10);
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/OPERATIONS.md");
    }
}

#[test]
fn the_map_shows_every_folder_and_stays_short() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(map.lines().count() <= 200);
    for folder in ["proto/", "broker/engine/", "broker/src/", "client/", "worker-example/", "tests/", "docs/"]
    {
        assert!(map.contains(&format!("`{folder}`")), "{folder} is not on the map");
    }
    for entry in fs::read_dir(root().join("broker/src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            assert!(map.contains(&format!("`{name}/`")), "broker/src/{name} is not on the map");
        }
    }
}

/// Who speaks to people does so on purpose: the command line, the example worker, programs by hand.
#[test]
fn only_the_command_line_prints() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        let may = ["broker/src/cli/", "worker-example/", "tests/"].iter().any(|home| name.starts_with(home));
        if may || name.contains("/examples/") || name.contains("/tests") {
            continue;
        }
        let product = code(&text);
        if product.contains("#[test]") {
            continue;
        }
        let prints = ["println!(", "eprintln!(", " print!(", "eprint!("].into_iter();
        faults.extend(
            prints.filter(|call| product.contains(call)).map(|call| format!("{name} calls {call}...)")),
        );
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The length of functions is clippy's to count; that it counts to 70 is ours.
#[test]
fn clippy_counts_to_what_the_style_says() {
    let conf = fs::read_to_string(root().join("clippy.toml")).unwrap();
    for line in ["too-many-lines-threshold = 70", "too-many-arguments-threshold = 6"] {
        assert!(conf.lines().any(|found| found.trim() == line), "clippy.toml lacks {line}");
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for lint in ["too_many_lines", "too_many_arguments", "unsafe_code"] {
        assert!(manifest.contains(&format!("{lint} = ")), "{lint} is no lint of the workspace");
    }
}

/// The rules stay pure: what they may use is two crates, neither of which knows a clock or a file.
#[test]
fn the_engine_depends_on_two_crates() {
    let manifest = fs::read_to_string(root().join("broker/engine/Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let names: Vec<&str> = section
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .collect();
    assert_eq!(names, ["hashbrown", "serde"]);
    let lib = fs::read_to_string(root().join("broker/engine/src/lib.rs")).unwrap();
    assert!(lib.contains("#![no_std]"), "the compiler no longer keeps the engine pure");
}

/// What a client can be told is in the protocol's page.
#[test]
fn every_code_of_the_schema_is_in_the_protocol() {
    let page = fs::read_to_string(root().join("docs/PROTOCOL.md")).unwrap();
    let mut codes = 0;
    for entry in fs::read_dir(root().join("proto/v1")).unwrap() {
        let schema = fs::read_to_string(entry.unwrap().path()).unwrap();
        let values = schema.lines().map(str::trim).filter(|line| line.starts_with("CODE_"));
        for code in values.filter_map(|line| line.strip_prefix("CODE_")?.split([' ', '=']).next()) {
            codes += 1;
            assert!(
                code == "UNSPECIFIED" || page.contains(&format!("| {code} |")),
                "{code} is not in docs/PROTOCOL.md"
            );
        }
    }
    assert!(codes > 9, "the schema went away");
}

#[test]
fn nobody_depends_on_the_tests() {
    for folder in ["proto", "broker/engine", "broker", "client", "worker-example"] {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("windlass-tests"), "{folder} depends on the tests");
    }
}

/// The bugs that the simulation has to find are in no build but that of its test.
#[test]
fn planted_bugs_are_in_no_build_for_use() {
    for folder in ["broker", "broker/engine", "client", "worker-example", "proto", "tests"] {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let asks = manifest.lines().filter(|line| line.contains("planted") && !line.starts_with('#'));
        let asks: Vec<&str> = asks.collect();
        let expected: &[&str] = match folder {
            "broker" => &["planted = [\"windlass-engine/planted\"]"],
            "broker/engine" => &["planted = []"],
            "tests" => &[
                "name = \"planted\"",
                "path = \"planted.rs\"",
                "required-features = [\"planted\"]",
                "planted = [\"windlass-broker/planted\"]",
            ],
            _ => &[],
        };
        assert_eq!(asks, expected, "{folder}");
        assert!(!manifest.contains("\ndefault = "), "{folder} has features by default");
    }
    let bugs = fs::read_to_string(root().join("broker/engine/src/planted.rs")).unwrap();
    assert!(bugs.contains("#[cfg(not(debug_assertions))]\ncompile_error!"));
    let release = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(!release.contains("debug-assertions"), "a build for use has no debug assertions");
}
