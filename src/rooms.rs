//! A test of the house: the rooms depend on each other in one order, and no files in a circle (a file counts as
//! one with the module that it is a part of).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms (folders and files of `src/`), each of which uses those before it alone.
const ORDER: [&str; 25] = [
    "shaders",
    "error",
    "checks",
    "rng",
    "float64",
    "plot",
    "disk",
    "gpu",
    "optimizers",
    "dispatch",
    "onnx",
    "layers",
    "model",
    "tasks",
    "kernels",
    "meta",
    "reference",
    "cluster",
    "tune",
    "data",
    "config",
    "store",
    "session",
    "experiments",
    "cli",
];

/// Names of modules and, last, perhaps of an item.
type Names = Vec<String>;

/// One file of `src/`.
struct File {
    path: PathBuf,
    module: Names,
    /// Without comments.
    text: String,
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let inside = path.strip_prefix(&root).unwrap().with_extension("");
                let mut module: Names =
                    inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                if ["mod", "lib", "main"].contains(&module[module.len() - 1].as_str()) {
                    module.pop();
                }
                let text = fs::read_to_string(&path).unwrap();
                // Comments may name whatever they like.
                let code: Vec<&str> =
                    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
                files.push(File { path, module, text: code.join("\n") });
            }
        }
    }
    files
}

/// Whether a file holds tests alone.
fn is_test(file: &File) -> bool {
    file.module.last().is_some_and(|name| name == "tests" || name.ends_with("_tests"))
        || file.module.iter().any(|name| name == "tests")
}

/// Every path in the tree `text` (`a::b`, `a::{b, c::d}`) behind `before`; returns what follows the tree.
fn tree<'a>(mut text: &'a str, before: &[String], found: &mut Vec<Names>) -> &'a str {
    let mut path = before.to_vec();
    loop {
        text = text.trim_start();
        if let Some(mut list) = text.strip_prefix('{') {
            while !list.trim_start().starts_with('}') {
                list = tree(list, &path, found).trim_start();
                list = list.strip_prefix(',').unwrap_or(list);
            }
            return list.trim_start().strip_prefix('}').unwrap();
        }
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if !name.is_empty() && name != "self" {
            path.push(name.to_string());
        }
        match rest.strip_prefix("::") {
            Some(rest) if !name.is_empty() => text = rest,
            _ => {
                found.push(path);
                let rest = rest.strip_prefix('*').unwrap_or(rest);
                let alias = rest.strip_prefix(" as ");
                return alias
                    .map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_alphanumeric()));
            }
        }
    }
}

/// What `text`, a part of a file, names: paths from the root of the crate, through `crate::` and `super::`.
fn named(file: &File, text: &str) -> Vec<Names> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        tree(&text[at + "crate::".len()..], &[], &mut found);
    }
    for (at, _) in text.match_indices("super::") {
        // Of several in a row the first one counts them.
        if text[..at].ends_with("super::") {
            continue;
        }
        let (mut rest, mut above) = (&text[at..], &file.module[..]);
        while let Some(behind) = rest.strip_prefix("super::") {
            (rest, above) = (behind, &above[..above.len().saturating_sub(1)]);
        }
        tree(rest, above, &mut found);
    }
    found
}

/// The part of a file before its module of tests, whose `super` is the file itself.
fn code(file: &File) -> &str {
    let tests = ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub mod tests {"];
    let end = tests.iter().filter_map(|start| file.text.find(start)).min();
    &file.text[..end.unwrap_or(file.text.len())]
}

/// Of what files pass on under a name of their own: where it is from.
fn passed_on(files: &[File]) -> BTreeMap<Names, Names> {
    let mut all = BTreeMap::new();
    for file in files {
        for start in ["\npub use ", "\npub(crate) use ", "\npub(super) use "] {
            for text in file.text.split(start).skip(1).filter(|it| !it.starts_with("crate::")) {
                let mut found = Vec::new();
                tree(text, &file.module, &mut found);
                for path in found {
                    let name = path[path.len() - 1].clone();
                    all.insert([file.module.clone(), vec![name]].concat(), path);
                }
            }
        }
    }
    all
}

#[test]
fn rooms_use_those_before_them_alone() {
    let place = |room: &str| ORDER.iter().position(|other| *other == room);
    for file in files() {
        let Some(own) = file.module.first().filter(|own| *own != "rooms") else { continue };
        let own = place(own).unwrap_or_else(|| panic!("{own} is no room of ORDER"));
        for path in named(&file, &file.text).iter().filter(|path| !path.is_empty()) {
            let above = place(&path[0]).filter(|other| *other > own);
            assert!(above.is_none(), "{} uses crate::{}", file.path.display(), path.join("::"));
        }
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut files = files();
    files.retain(|file| !is_test(file) && file.module != ["rooms"]);
    let passed_on = passed_on(&files);
    let modules: BTreeMap<&[String], usize> =
        files.iter().enumerate().map(|(index, file)| (&file.module[..], index)).collect();
    // The file behind a path: that of its longest beginning, or where that has it from.
    let behind = |path: &Names| {
        let mut path = path.clone();
        loop {
            let own =
                (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
            let name = path[..(own + 1).min(path.len())].to_vec();
            match passed_on.get(&name).filter(|from| **from != name) {
                Some(from) => path = from.clone(),
                None => return Some(modules[&path[..own]]),
            }
        }
    };
    let uses: Vec<BTreeSet<usize>> = files
        .iter()
        .enumerate()
        .map(|(index, file)| {
            let others = named(file, code(file));
            let others = others.iter().filter_map(behind);
            // A file may use what the module that it is a part of holds.
            let is_above = |other: usize| file.module.starts_with(&files[other].module);
            others.filter(|other| *other != index && !is_above(*other)).collect()
        })
        .collect();
    assert!(uses.iter().map(BTreeSet::len).sum::<usize>() > 500, "uses are found");
    // Files that use none of those left, or that none of them uses, are taken away, until all are in a circle or
    // between two.
    let mut left: BTreeSet<usize> = (0..files.len()).collect();
    let is_free = |file: usize, left: &BTreeSet<usize>| {
        uses[file].is_disjoint(left) || !left.iter().any(|other| uses[*other].contains(&file))
    };
    while let Some(free) = left.iter().copied().find(|file| is_free(*file, &left)) {
        left.remove(&free);
    }
    // From one of them to the next that it uses, until one comes again.
    let mut way: Vec<usize> = left.first().copied().into_iter().collect();
    while let Some(next) = way.last().and_then(|file| uses[*file].intersection(&left).next()) {
        if let Some(first) = way.iter().position(|file| file == next) {
            way.drain(..first);
            break;
        }
        way.push(*next);
    }
    let circle: Vec<_> = way.iter().map(|file| files[*file].path.display().to_string()).collect();
    assert!(left.is_empty(), "these files use each other in a circle: {circle:?}");
}

/// So a field more breaks no program: its author sets fields of what a constructor or a default makes. (`reference` is for
/// tests.)
#[test]
fn setups_can_get_fields() {
    let mut setups = 0;
    for file in files().iter().filter(|file| file.module.first().is_none_or(|it| it != "reference"))
    {
        for (at, start) in file.text.match_indices("\npub struct ") {
            let rest = &file.text[at + start.len()..];
            let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            let body = rest.split("\n}").next().unwrap_or_default();
            let is_setup =
                ["Setup", "Spec", "Settings", "Options"].iter().any(|it| name.ends_with(it));
            if is_setup && body.contains("\n    pub ") {
                let attributes = file.text[..at].rsplit("\n\n").next().unwrap_or_default();
                let fits = attributes.contains("#[non_exhaustive]");
                assert!(fits, "{}: {name} has no #[non_exhaustive]", file.path.display());
                setups += 1;
            }
        }
    }
    assert!(setups >= 20, "setups are found: {setups}");
}

/// What others wrote is read by `disk/read.rs`: it knows pipes, holes and sizes that nobody has.
#[test]
fn one_place_reads_files() {
    let all = files();
    let others = all.iter().filter(|file| {
        !is_test(file)
            && !["rooms", "shaders"].contains(&file.module[..].first().map_or("", |it| it))
    });
    for file in others.filter(|file| file.module != ["disk", "read"]) {
        for call in ["fs::read(", "read_to_string(", "File::open(", "ImageReader::open("] {
            // A folder is opened to be synced.
            let own = (file.module == ["disk", "atomic"] && call == "File::open(")
                // The names of threads come from the system, and are no file of anybody's.
                || (file.module == ["cli", "processors"] && call == "read_to_string(");
            let text = code(file);
            let found = text
                .match_indices(call)
                .any(|(at, _)| !text[..at].ends_with(|before: char| before.is_alphanumeric()));
            let path = file.path.display();
            assert!(!found || own, "{path}: {call} where read::bytes or read::open belongs");
        }
    }
}

/// Embedders have no flags: `src/cli/flags.rs` says them to the program's users.
#[test]
fn the_library_names_no_flag_of_the_program() {
    for file in files().iter().filter(|file| file.module.first().is_some_and(|it| it != "cli")) {
        for (at, _) in file.text.match_indices(" --").chain(file.text.match_indices("\"--")) {
            let next = file.text[at + 3..].chars().next();
            let line = file.text[at..].lines().next().unwrap_or_default();
            let is_flag = next.is_some_and(|it| it.is_ascii_lowercase());
            assert!(!is_flag || file.module == ["rooms"], "{}: {line}", file.path.display());
        }
    }
}
