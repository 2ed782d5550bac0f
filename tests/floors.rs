//! Which room of the house may use which: `src/lib.rs` has the map, this test holds it. And in how many files a verb is named.
//!
//! It reads the sources. Unit tests may use what they like: what stands under `#[cfg(test)]`, and files for tests.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rooms that any other may use: no floor of the house, but its tools.
const TOOLS: &[&str] = &[
    "backoff",
    "failpoint",
    "log_levels",
    "panic_text",
    "private_files",
    "raised",
    "rng",
    "tasks",
    "tls_client",
    "waiting_room",
];

/// Each room, and which others it may use. `cli`, `sim` and `inventory` see everything.
const FLOORS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("messages", &["model"]),
    ("transport", &["messages", "model"]),
    ("store", &["model"]),
    ("flow", &["model", "store"]),
    ("drivers", &["model"]),
    ("control", &["messages", "model", "store", "transport"]),
    ("backend", &["drivers", "flow", "messages", "model", "transport"]),
    (
        "verbs",
        &[
            "backend",
            "control",
            "drivers",
            "flow",
            "messages",
            "model",
            "store",
            "transport",
        ],
    ),
    (
        "actors",
        &[
            "backend",
            "control",
            "drivers",
            "flow",
            "messages",
            "model",
            "store",
            "transport",
            "verbs",
        ],
    ),
    (
        "web",
        &["control", "messages", "model", "store", "transport", "verbs"],
    ),
    ("config", &["model"]),
    ("authority", &["model"]),
];

struct Source {
    /// Relative to `src`.
    path: PathBuf,
    /// What stands in it.
    text: String,
}

fn sources() -> Vec<Source> {
    let mut sources = whole_files();
    sources.retain(|source| !is_for_tests(&source.path));
    for source in &mut sources {
        source.text = without_tests(&source.text);
    }
    sources
}

/// All files, in order of their paths, with comments and tests.
fn whole_files() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_owned();
                found.push(Source { path, text });
            }
        }
    }
    assert!(found.len() > 300, "the sources were not found");
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn is_for_tests(path: &Path) -> bool {
    path.iter().any(|part| {
        let part = part.to_string_lossy();
        let stem = part.trim_end_matches(".rs");
        stem == "tests" || stem == "testing" || stem.ends_with("_tests") || stem == "samples"
    })
}

/// Lines without comments, up to an inline test module, without items of `#[cfg(test)]`.
fn without_tests(text: &str) -> String {
    let mut lines = Vec::new();
    let mut skip_next = false;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("//") {
            continue;
        }
        if trimmed == "#[cfg(test)]" {
            skip_next = true;
            continue;
        }
        if skip_next && trimmed.starts_with("mod ") && trimmed.ends_with('{') {
            break;
        }
        if !skip_next {
            lines.push(line);
        }
        skip_next = skip_next && trimmed.starts_with("#[");
    }
    lines.join("\n")
}

fn room(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Names behind `crate::` in this text.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let end = list.find(';').unwrap_or(list.len());
            for part in list[..end].split(',') {
                let name: String = part.trim().chars().take_while(|c| is_of_a_name(*c)).collect();
                used.insert(name);
            }
        } else {
            used.insert(rest.chars().take_while(|c| is_of_a_name(*c)).collect());
        }
    }
    used.retain(|name| name.chars().next().is_some_and(char::is_lowercase));
    used
}

fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn no_room_uses_one_above_it() {
    let floors: BTreeMap<&str, &[&str]> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let room = room(&source.path);
        let Some(below) = floors.get(room.as_str()) else {
            continue;
        };
        for used in rooms_used(&source.text) {
            let may = used == room || TOOLS.contains(&used.as_str()) || below.contains(&used.as_str());
            // The simulated world takes the place of the network by a feature.
            if !may && used != "sim" {
                wrong.push(format!("{} uses crate::{used}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The module that a file is, as a path of names.
fn module_of(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if names.last().is_some_and(|last| last == "mod") {
        names.pop();
    }
    names
}

/// The paths of all `use`s of a file.
fn use_paths(text: &str) -> Vec<Vec<String>> {
    let mut paths: Vec<Vec<String>> = Vec::new();
    for statement in text.split("use ").skip(1) {
        let statement = &statement[..statement.find(';').unwrap_or(0)];
        expand(statement, &[], &mut paths);
    }
    paths
}

/// Names that a module has of its children, and which child each is of: who uses the name uses the child.
type Exports = BTreeMap<(Vec<String>, String), Vec<String>>;

fn exports_of(module: &[String], text: &str, files: &BTreeSet<Vec<String>>) -> Exports {
    let mut exports = Exports::new();
    for path in use_paths(text) {
        if let [first, child, name] = path.as_slice()
            && first == "self"
        {
            let child: Vec<String> = module.iter().chain([child]).cloned().collect();
            if files.contains(&child) {
                exports.insert((module.to_vec(), name.clone()), child);
            }
        }
    }
    exports
}

/// Which modules a file uses, of those that are files.
fn modules_used(
    module: &[String],
    text: &str,
    files: &BTreeSet<Vec<String>>,
    exports: &Exports,
) -> BTreeSet<Vec<String>> {
    let mut used = BTreeSet::new();
    let mut paths = use_paths(text);
    paths.extend(written_out(text));
    for path in paths {
        let mut absolute = match path.first().map(String::as_str) {
            Some("crate") => path[1..].to_vec(),
            Some("super") => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let Some(kept) = module.len().checked_sub(ups) else {
                    continue;
                };
                module[..kept].iter().chain(&path[ups..]).cloned().collect()
            }
            Some("self") => module.iter().chain(&path[1..]).cloned().collect(),
            _ => continue,
        };
        let mut name = None;
        while !absolute.is_empty() && !files.contains(&absolute) {
            name = absolute.pop();
        }
        while let Some(child) = name
            .clone()
            .and_then(|name| exports.get(&(absolute.clone(), name)))
        {
            absolute.clone_from(child);
        }
        if !absolute.is_empty() && absolute != module {
            used.insert(absolute);
        }
    }
    used
}

/// Paths that are written out where they are used. Those that end in braces belong to a `use`.
fn written_out(text: &str) -> Vec<Vec<String>> {
    let starts = text.match_indices("crate::").chain(text.match_indices("super::"));
    starts
        .filter(|(at, _)| !text[..*at].ends_with("::"))
        .filter_map(|(at, _)| {
            let rest = &text[at..];
            let end = rest.find(|c| !is_of_a_name(c) && c != ':').unwrap_or(rest.len());
            let names = rest[..end].split("::").filter(|name| !name.is_empty());
            (!rest[end..].starts_with('{')).then(|| names.map(str::to_owned).collect())
        })
        .collect()
}

/// Writes out the braces of a `use`.
fn expand(text: &str, before: &[String], into: &mut Vec<Vec<String>>) {
    let text = text.trim();
    let Some(brace) = text.find('{') else {
        let names = text
            .split(" as ")
            .next()
            .unwrap_or("")
            .split("::")
            .map(|name| name.trim().to_owned());
        into.push(
            before
                .iter()
                .cloned()
                .chain(names)
                .filter(|name| !name.is_empty())
                .collect(),
        );
        return;
    };
    let head = text[..brace].trim().trim_end_matches("::");
    let mut prefix = before.to_vec();
    prefix.extend(
        head.split("::")
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty()),
    );
    let (mut depth, mut start) = (0_usize, brace + 1);
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at <= brace) {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                if !text[start..at].trim().is_empty() {
                    expand(&text[start..at], &prefix, into);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Two files that use each other are one thought in two places, unless one is the other's module folder.
#[test]
fn no_two_files_use_each_other() {
    let sources = sources();
    let files: BTreeSet<Vec<String>> = sources.iter().map(|source| module_of(&source.path)).collect();
    let exports: Exports = sources
        .iter()
        .flat_map(|source| exports_of(&module_of(&source.path), &source.text, &files))
        .collect();
    let uses: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = sources
        .iter()
        .map(|source| {
            let module = module_of(&source.path);
            let used = modules_used(&module, &source.text, &files, &exports);
            (module, used)
        })
        .collect();
    let mut circles = Vec::new();
    for (module, used) in &uses {
        for other in used {
            let related = other.starts_with(module) || module.starts_with(other);
            let back = uses.get(other).is_some_and(|back| back.contains(module));
            if back && !related && module < other {
                circles.push(format!("{} <-> {}", module.join("::"), other.join("::")));
            }
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

/// In how many files a verb may be named, its own and those of its unit tests included. Of a verb that drivers have as a method,
/// the trait and the three drivers name it, and the one support of their tests.
const FILES_OF_A_VERB: usize = 8;

/// The names of all verbs: of the files that a request begins in, and those by which messages and journal entries name them.
fn verbs(files: &[Source]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for Source { path, text } in files.iter().filter(|source| source.path.starts_with("verbs")) {
        if text.contains("impl Request for ") {
            names.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
        for before in [
            "const NAME: &'static str = \"",
            "=> ApiTopic, \"",
            "=> VolumeTopic, \"",
        ] {
            for (at, _) in text.match_indices(before) {
                let name = &text[at + before.len()..];
                names.insert(name[..name.find('"').unwrap()].to_owned());
            }
        }
    }
    assert!(names.len() > 30, "the verbs were not found");
    names
}

/// The words of a text that can be names.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c| !is_of_a_name(c)).collect()
}

#[test]
fn a_verb_is_named_in_few_files() {
    let files = whole_files();
    let words: Vec<(&Path, BTreeSet<&str>)> = files
        .iter()
        .map(|source| (source.path.as_path(), words(&source.text)))
        .collect();
    let mut wrong = Vec::new();
    for verb in verbs(&files) {
        let named_in = words.iter().filter(|(_, words)| words.contains(verb.as_str()));
        let named_in: Vec<String> = named_in.map(|(path, _)| path.display().to_string()).collect();
        if named_in.len() > FILES_OF_A_VERB {
            wrong.push((verb, named_in));
        }
    }
    assert!(wrong.is_empty(), "a verb and the files that name it: {wrong:#?}");
}
