use super::*;
use crate::tasks::{Bits, ImageClass, ImageSet, SplitClass};

/// Two tasks of two classes, one support and two query files each.
const LIST: &str = r#"[
  [{"class": "Greek/alpha", "support": ["2"], "query": ["0", "1"]},
   {"class": "Greek/beta", "support": ["0"], "query": ["1", "3"]}],
  [{"class": "Greek/beta", "support": ["3"], "query": ["2", "0"]},
   {"class": "Greek/gamma", "support": ["1"], "query": ["3", "0"]}]
]"#;

/// Six classes of four images: one of training, one of validation, three of test, one of no part.
fn split() -> Split {
    let names = ["Latin/a", "Latin/b", "Greek/alpha", "Greek/beta", "Greek/gamma", "Greek/delta"];
    let class = |(n, name): (usize, &&str)| ImageClass {
        name: name.to_string(),
        first_image: 4 * n as u32,
        images: 4,
    };
    let images = ImageSet {
        width: 1,
        height: 1,
        channels: 1,
        bits: Bits::Eight,
        words: vec![0; 24],
        classes: names.iter().enumerate().map(class).collect(),
        files: (0..24).map(|image| (image % 4).to_string()).collect(),
    };
    let part = |classes: &[usize]| {
        classes.iter().map(|class| SplitClass { class: *class, rotation: 0 }).collect()
    };
    Split { images, train: part(&[0]), val: part(&[1]), test: part(&[4, 2, 3]) }
}

/// Writes `text` into a file and reads it as a list.
fn load(text: impl AsRef<[u8]>) -> Result<EpisodeList> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.json");
    std::fs::write(&path, text).unwrap();
    EpisodeList::load(path)
}

fn refused(text: impl AsRef<[u8]>) -> String {
    let message = load(text).unwrap_err().to_string();
    assert!(message.contains("list.json: "), "{message}");
    message
}

/// What is said of [`LIST`] with `from` replaced at its first place.
fn changed(from: &str, to: &str) -> String {
    let text = LIST.replacen(from, to, 1);
    assert_ne!(text, LIST);
    match load(&text) {
        Ok(list) => list.resolve(&split(), SplitPart::Test).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn names_become_numbers_in_the_order_of_the_list() {
    let list = load(LIST).unwrap();
    assert_eq!((list.len(), list.is_empty()), (2, false));
    let episodes = list.resolve(&split(), SplitPart::Test).unwrap();
    assert_eq!((episodes.way, episodes.shots, episodes.queries), (2, 1, 2));
    assert_eq!((episodes.len(), episodes.is_empty(), episodes.part), (2, false, SplitPart::Test));
    assert_eq!(episodes.support, [10, 12, 15, 17]);
    assert_eq!(episodes.query, [8, 9, 13, 15, 14, 12, 19, 16]);
}

#[test]
fn a_byte_order_mark_does_not_matter() {
    assert!(load([b"\xEF\xBB\xBF", LIST.as_bytes()].concat()).is_ok());
}

#[test]
fn damaged_json_is_named_with_its_line() {
    assert!(refused(&LIST[..130]).contains("line 3"));
    for (from, to, line, named) in [
        ("\"query\"", "\"queries\"", "line 2", "`queries`"),
        (", \"query\": [\"0\", \"1\"]", "", "line 2", "`query`"),
        ("[\"3\"]", "[3]", "line 4", "integer `3`"),
        ("[\"0\"]", "\"0\"", "line 3", "expected a sequence"),
    ] {
        let message = changed(from, to);
        assert!(message.contains(line) && message.contains(named), "{message}");
        assert!(message.contains("JSON list of tasks"), "{message}");
    }
    assert!(refused("").contains("line 1"));
    assert!(refused("{}").contains("JSON list of tasks"));
    assert!(refused([0xFF, 0xFE, b'[']).contains("save it as UTF-8"));
}

#[test]
fn empty_lists_are_refused() {
    assert!(refused("[]").contains("no tasks"));
    assert!(refused("[[]]").contains("task 0: has no classes"));
    let message = changed("[\"2\"]", "[]");
    assert!(message.contains("task 0") && message.contains("no support files"), "{message}");
    let message = changed("[\"2\", \"0\"]", "[]");
    assert!(message.contains("task 1: `Greek/beta` has no query files"), "{message}");
}

#[test]
fn unequal_sizes_are_refused_with_task_and_class() {
    let way = LIST.replacen("\n   {\"class\": \"Greek/gamma\"", "]]", 1);
    let way = format!("{}]]", way.split(",]]").next().unwrap());
    let message = refused(way);
    assert!(message.contains("task 1: has 1 classes, but task 0 has 2"), "{message}");
    let message = changed("[\"3\"]", "[\"3\", \"1\"]");
    assert!(message.contains("task 1: `Greek/beta` has 2 support files"), "{message}");
    let message = changed("[\"1\", \"3\"]", "[\"1\"]");
    assert!(message.contains("task 0: `Greek/beta` has 1 query files"), "{message}");
}

#[test]
fn what_is_twice_in_a_task_is_refused() {
    let message = changed("Greek/gamma", "Greek/beta");
    assert!(message.contains("task 1: `Greek/beta` has two entries"), "{message}");
    let message = changed("[\"1\", \"3\"]", "[\"1\", \"1\"]");
    assert!(message.contains("task 0: `1` of `Greek/beta` is a query file twice"), "{message}");
    let message = changed("[\"2\", \"0\"]", "[\"2\", \"3\"]");
    let wanted = "task 1: `3` of `Greek/beta` is both a support and a query file";
    assert!(message.contains(wanted), "{message}");
}

#[test]
fn names_that_are_not_there_are_refused_with_the_nearest() {
    let message = changed("Greek/beta", "Greek/Beta");
    let wanted = "task 0: there is no class `Greek/Beta`; did you mean the test class `Greek/beta`";
    assert!(message.contains(wanted), "{message}");
    let message = changed("[\"3\", \"0\"]", "[\"30\", \"0\"]");
    let wanted = "task 1: `Greek/gamma` has no image `30`; did you mean `0`";
    assert!(message.contains(wanted) && message.contains("list.json"), "{message}");
}

#[test]
fn classes_of_other_parts_are_refused_by_their_part() {
    let message = changed("Greek/alpha", "Latin/a");
    assert!(message.contains("task 0: `Latin/a` is a train class"), "{message}");
    assert!(changed("Greek/gamma", "Latin/b").contains("task 1: `Latin/b` is a val class"));
    assert!(changed("Greek/gamma", "Greek/delta").contains("in no part"));
}

#[test]
fn a_set_without_files_has_no_names() {
    let mut split = split();
    split.images.files.clear();
    let error = load(LIST).unwrap().resolve(&split, SplitPart::Test).unwrap_err().to_string();
    assert!(error.contains("knows no files of `Greek/alpha`"), "{error}");
}
