//! Splits as lists: `train.csv`, `test.csv` and perhaps `val.csv`, with the columns `filename` and `label`, beside the images or
//! beside a folder `images` that holds them, as Mini-ImageNet is handed out.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use super::files;
use super::source::{Class, Layout, Listing, Source, WITHOUT};
use crate::data::left_out::LeftOut;
use crate::data::names::{composed, listed};
use crate::disk::text_file;
use crate::error::{Error, Result};
use crate::tasks::SplitPart;

/// Where images may lie beside the lists.
const IMAGES: &str = "images";

/// What the columns may be called, in any case.
const FILE: [&str; 4] = ["filename", "file", "image", "path"];
const LABEL: [&str; 3] = ["label", "class", "wnid"];

/// The data set of the lists in `folder`, which must have the `needed` parts; none if there are no lists.
///
/// # Errors
/// [`Error::Data`] that names the list, its line and what is wrong with it.
pub(super) fn find(folder: &Path, needed: &[SplitPart]) -> Result<Option<Listing>> {
    let lists: Vec<(SplitPart, PathBuf)> = SplitPart::ALL
        .into_iter()
        .map(|part| (part, folder.join(format!("{}.csv", part.name()))))
        .filter(|(_, list)| list.is_file())
        .collect();
    let is_folder = |part: &SplitPart| folder.join(part.name()).is_dir();
    let Some((_, first)) = lists.first().filter(|_| !SplitPart::ALL.iter().any(is_folder)) else {
        return Ok(None);
    };
    for part in needed.iter().filter(|part| **part != SplitPart::Val) {
        if !lists.iter().any(|(own, _)| own == part) {
            let without = if *part == SplitPart::Test { WITHOUT } else { "" };
            let message = format!("is there, but no `{}.csv`; add it{without}", part.name());
            return Err(Error::data(first, message));
        }
    }
    let mut classes = Vec::new();
    let mut seen: HashMap<PathBuf, String> = HashMap::new();
    let mut left_out = Vec::new();
    for (part, list) in &lists {
        classes.extend(read(folder, *part, list, &mut seen)?);
        left_out.push((*part, LeftOut::default()));
    }
    let mut others = Vec::new();
    for place in [folder.to_path_buf(), folder.join(IMAGES)] {
        let own = if place.is_dir() { files::visible(&place)? } else { Vec::new() };
        others.extend(own.into_iter().filter(|path| {
            let list = lists.iter().any(|(_, list)| list == path);
            !list && !seen.contains_key(path) && *path != folder.join(IMAGES)
        }));
    }
    Ok(Some(Listing { layout: Layout::Folders, classes, left_out, others }))
}

/// The classes of one list; `seen` are the images that lists have named, and where.
fn read(
    folder: &Path,
    part: SplitPart,
    list: &Path,
    seen: &mut HashMap<PathBuf, String>,
) -> Result<Vec<Class>> {
    let wrong = |message: String| Error::data(list, message);
    let text = text_file::read(list)?;
    let mut csv = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let damaged = |error: csv::Error| wrong(format!("cannot be read ({error}); mend that line"));
    let headers: Vec<String> = csv.headers().map_err(damaged)?.iter().map(String::from).collect();
    let column = |names: &[&str]| {
        let place = headers.iter().position(|it| names.contains(&it.to_lowercase().as_str()));
        place.ok_or_else(|| {
            let columns = listed(&headers);
            wrong(format!("has no column `{}`; its first line names {columns}", names[0]))
        })
    };
    let (file, label) = (column(&FILE)?, column(&LABEL)?);
    let mut classes: BTreeMap<String, Vec<(String, PathBuf)>> = BTreeMap::new();
    for row in csv.records() {
        let row = row.map_err(damaged)?;
        let line = row.position().map_or(0, csv::Position::line);
        let [name, class] = [file, label].map(|column| row.get(column).unwrap_or_default());
        if name.is_empty() || class.is_empty() {
            return Err(wrong(format!("line {line} has no file or no label; fill it in")));
        }
        let plain = |part| matches!(part, Component::Normal(_));
        let below = Path::new(name).strip_prefix(folder).ok().and_then(Path::to_str);
        let name = below.unwrap_or(name);
        if !Path::new(name).components().all(plain) {
            let message =
                format!("line {line}: `{name}` leads out of the data set; name a file in it");
            return Err(wrong(message));
        }
        let places = [folder.join(IMAGES).join(name), folder.join(name)];
        let Some(path) = places.into_iter().find(|path| path.is_file()) else {
            let message = format!(
                "line {line}: there is no image `{name}`, neither in {} nor beside the list",
                folder.join(IMAGES).display()
            );
            return Err(wrong(message));
        };
        let here = format!("{}, line {line}", list.display());
        if let Some(before) = seen.insert(path.clone(), here) {
            return Err(wrong(format!("line {line}: `{name}` was there before, in {before}")));
        }
        classes.entry(composed(class)).or_default().push((composed(name), path));
    }
    if classes.is_empty() {
        return Err(wrong("lists no images".into()));
    }
    let class = |(name, mut files): (String, Vec<(String, PathBuf)>)| {
        files.sort();
        let sources = files.into_iter().map(|(_, path)| Source { path, images: 1 }).collect();
        Class { part, name, sources }
    };
    Ok(classes.into_iter().map(class).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Set(tempfile::TempDir);

    impl Set {
        fn new(images: &[&str]) -> Self {
            let set = Self(tempfile::tempdir().unwrap());
            std::fs::create_dir(set.0.path().join(IMAGES)).unwrap();
            images.iter().for_each(|name| set.write(&format!("{IMAGES}/{name}"), ""));
            set
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.path().join(name), text).unwrap();
        }

        fn find(&self) -> Result<Option<Listing>> {
            find(self.0.path(), &[SplitPart::Train, SplitPart::Test])
        }
    }

    #[test]
    fn lists_say_which_images_are_of_which_class() {
        let set = Set::new(&["b.jpg", "a.jpg", "c.jpg", "d.jpg", "e.jpg"]);
        assert!(set.find().unwrap().is_none());
        set.write("train.csv", "\u{feff}Filename,label\nb.jpg,n02\na.jpg, n02\nc.jpg,n01\n");
        set.write("test.csv", "label,filename\r\n\"n03, owls\",d.jpg\r\n");
        let listing = set.find().unwrap().unwrap();
        let classes: Vec<_> = listing
            .classes
            .iter()
            .map(|class| {
                let files = class.sources.iter().map(Source::name).collect::<Vec<_>>();
                (class.part, class.name.as_str(), files)
            })
            .collect();
        let wanted = [
            (SplitPart::Train, "n01", vec!["c.jpg".to_string()]),
            (SplitPart::Train, "n02", vec!["a.jpg".to_string(), "b.jpg".to_string()]),
            (SplitPart::Test, "n03, owls", vec!["d.jpg".to_string()]),
        ];
        assert_eq!(classes, wanted);
        assert_eq!(listing.others, [set.0.path().join("images/e.jpg")]);
        // Folders go first.
        std::fs::create_dir(set.0.path().join("train")).unwrap();
        assert!(set.find().unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (train, part) in [
            ("filename,label\na.jpg,n1\nb.jpg,n1\n", "line 3: there is no image `b.jpg`"),
            ("filename,label\na.jpg,n1\na.jpg,n2\n", "line 3: `a.jpg` was there before"),
            ("filename,label\n../a.jpg,n1\n", "leads out of the data set"),
            ("filename,label\n/etc/hostname,n1\n", "leads out of the data set"),
            ("filename,label\na.jpg,\n", "line 2 has no file or no label"),
            ("filename,label\na.jpg\n", "cannot be read"),
            ("name,label\na.jpg,n1\n", "no column `filename`; its first line names name, label"),
            ("filename,label\n", "lists no images"),
            ("", "no column"),
        ] {
            let set = Set::new(&["a.jpg", "t.jpg"]);
            set.write("train.csv", train);
            set.write("test.csv", "filename,label\nt.jpg,n9\n");
            let text = set.find().unwrap_err().to_string();
            assert!(text.contains(part) && text.contains("train.csv"), "{part}: {text}");
        }
        // Other encodings and whole paths are read.
        let set = Set::new(&["a.jpg", "t.jpg"]);
        let whole = set.0.path().join(IMAGES).join("a.jpg");
        let text = format!("filename,label\n{},n1\n", whole.display());
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(set.0.path().join("train.csv"), [&[0xFF, 0xFE][..], &utf16].concat())
            .unwrap();
        set.write("test.csv", "filename,label\nt.jpg,n9\n");
        assert_eq!(set.find().unwrap().unwrap().classes[0].sources[0].path, whole);
        let set = Set::new(&["a.jpg"]);
        set.write("train.csv", "filename,label\na.jpg,n1\n");
        let text = set.find().unwrap_err().to_string();
        assert!(text.contains("no `test.csv`"), "{text}");
    }
}
