//! A test of the house: the rooms depend on each other in one order, and no files in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms (folders and files of `src/`), each of which uses those before it alone.
const ORDER: [&str; 17] = [
    "error",
    "rng",
    "plot",
    "disk",
    "gpu",
    "model",
    "tasks",
    "kernels",
    "meta",
    "reference",
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
    /// Without the tests at its end.
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
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                files.push(File { path, module, text: code.to_string() });
            }
        }
    }
    files.retain(|file| !file.module.iter().any(|name| name.contains("tests")));
    files
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

/// What a file names: paths from the root of the crate.
fn named(file: &File) -> Vec<Names> {
    let mut found = Vec::new();
    for line in file.text.split("crate::").skip(1) {
        tree(line, &[], &mut found);
    }
    let above = &file.module[..file.module.len().saturating_sub(1)];
    for line in file.text.split("\nuse super::").skip(1) {
        tree(line, above, &mut found);
    }
    found
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
        let Some(own) = file.module.first() else { continue };
        if own == "rooms" {
            continue;
        }
        let own = place(own).unwrap_or_else(|| panic!("{own} is no room of ORDER"));
        for path in named(&file) {
            let above = place(&path[0]).filter(|other| *other > own);
            assert!(above.is_none(), "{} uses crate::{}", file.path.display(), path.join("::"));
        }
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let files = files();
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
            named(file).iter().filter_map(behind).filter(|other| *other != index).collect()
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
    let left: Vec<_> = left.iter().map(|file| files[*file].path.display()).collect();
    assert!(left.is_empty(), "these files use each other in a circle: {left:?}");
}
