//! What README.md and the pages of `docs/` name is there: files, commands and flags.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::program::{reptile, stdout};

/// README.md, and every page of `docs/` by its name.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let paths = std::iter::once(root.join("README.md")).chain(pages);
    paths.map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
}

/// Targets of a page's links, without those to other sites and without the places in a page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let paths = targets.map(|target| target.split('#').next().unwrap());
    paths.filter(|path| !path.is_empty() && !path.contains("://"))
}

/// Commands in code, a line or a span each, up to a comment or the next command.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let spans = text.split('`').filter(|span| span.starts_with("reptile "));
    let lines = text.lines().map(str::trim_start).filter(|line| line.starts_with("reptile "));
    let pieces = spans.chain(lines).flat_map(|code| code.split(['#', '|', '`', ';']));
    let parts =
        pieces.flat_map(|code| code.split("&&")).map(|part| part.split_whitespace().collect());
    parts.filter(|words: &Vec<&str>| words.first() == Some(&"reptile") && words.len() > 1).collect()
}

#[test]
fn links_of_the_pages_lead_to_files() {
    for (path, text) in pages() {
        for link in links(&text) {
            assert!(path.with_file_name(link).exists(), "{}: {link}", path.display());
        }
    }
}

#[test]
fn the_readme_links_every_page() {
    let pages = pages();
    let linked: BTreeSet<&str> = links(&pages[0].1).collect();
    for (path, _) in &pages[1..] {
        let name = format!("docs/{}", path.file_name().unwrap().to_str().unwrap());
        assert!(linked.contains(name.as_str()), "{name} is not linked");
    }
}

#[test]
fn commands_and_flags_of_the_pages_exist() {
    let help = stdout(reptile().arg("--help"));
    let names = help.lines().skip_while(|line| !line.starts_with("Commands")).skip(1);
    let names = names.map_while(|line| line.strip_prefix("  ")?.split(' ').next());
    let helps: BTreeMap<&str, String> = names
        .filter(|name| *name != "help")
        .map(|name| (name, stdout(reptile().args([name, "--help"]))))
        .collect();
    let mut seen = BTreeSet::new();
    let pages = pages();
    for (path, text) in &pages {
        for words in commands(text) {
            let command = format!("{}: {}", path.display(), words.join(" "));
            let help = helps.get(words[1]).unwrap_or_else(|| panic!("{command}"));
            seen.insert(words[1]);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.trim_end_matches([',', '.', ')']);
                let known = help.split([' ', ',', '\n']).any(|word| word == flag);
                assert!(known, "{command}: {flag}");
            }
        }
    }
    let all: BTreeSet<&str> = helps.keys().copied().collect();
    assert_eq!(seen, all, "commands on no page, or none");
}
