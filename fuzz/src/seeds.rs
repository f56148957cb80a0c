//! Files that the readers take: those that the program wrote lie in `fuzz/seeds/READER/` (`fuzz/make-seeds.sh`), archives and pictures
//! are made here.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use image::{ImageFormat, Rgb, RgbImage};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The folder of those that lie on disk.
pub fn folder() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The tests of the program are those of another crate.
    let of_root = own.join("fuzz/seeds");
    if of_root.is_dir() { of_root } else { own.join("seeds") }
}

/// One of those on disk.
///
/// # Panics
/// If it is not there.
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("the seed {name}: {error}"))
}

/// The seeds of a reader, with their names.
///
/// # Panics
/// If there is none.
pub fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    let own = folder().join(target);
    let mut seeds: Vec<(String, Vec<u8>)> = std::fs::read_dir(&own)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let name = format!("{target}/{}", entry.file_name().to_string_lossy());
            let bytes = bytes(&name);
            (name, bytes)
        })
        .collect();
    seeds.sort();
    match target {
        "zip" => seeds.push(("images_background.zip".into(), part("images_background", 3))),
        "image" => seeds.extend(images()),
        _ => {}
    }
    assert!(!seeds.is_empty(), "{target} has no seeds; run fuzz/make-seeds.sh");
    seeds
}

/// Both parts of a small Omniglot in `folder`.
///
/// # Panics
/// If they cannot be written.
pub fn omniglot(folder: &Path) {
    for (name, characters) in [("images_background", 3), ("images_evaluation", 2)] {
        let path = folder.join(format!("{name}.zip"));
        std::fs::write(path, part(name, characters)).expect("a file can be written");
    }
}

/// One of its parts.
fn part(name: &str, characters: u8) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for character in 0..characters {
        for drawing in 0..3 {
            let grey = image::GrayImage::from_fn(6, 6, |x, y| {
                let on = (x + u32::from(character)) % 3 == 0 || y == drawing;
                image::Luma([if on { 0 } else { 255 }])
            });
            let mut png = Cursor::new(Vec::new());
            grey.write_to(&mut png, ImageFormat::Png).expect("a small image");
            let path =
                format!("{name}/Alpha/character{character:02}/{character:04}_{drawing:02}.png");
            writer.start_file(path, SimpleFileOptions::default()).expect("a small zip");
            writer.write_all(png.get_ref()).expect("a small zip");
        }
    }
    writer.finish().expect("a small zip").into_inner()
}

fn picture(number: u8) -> RgbImage {
    RgbImage::from_fn(7, 7, |x, y| Rgb([number * 20, 30 * x as u8, 30 * y as u8]))
}

/// A picture in every format.
fn images() -> Vec<(String, Vec<u8>)> {
    use ImageFormat as F;
    let formats = [F::Png, F::Jpeg, F::Gif, F::Bmp, F::Tiff, F::WebP];
    let encoded = formats.map(|format| {
        let mut bytes = Cursor::new(Vec::new());
        picture(3).write_to(&mut bytes, format).expect("a small image");
        (format!("{format:?}"), bytes.into_inner())
    });
    encoded.into()
}

/// Pictures of a data set whose parts are listed in CSV, in `folder`.
///
/// # Panics
/// If they cannot be written.
pub fn pictures(folder: &Path) {
    std::fs::create_dir_all(folder.join("images")).expect("a folder");
    for number in 0..12 {
        let path = folder.join(format!("images/{number}.png"));
        picture(number).save(path).expect("a small image");
    }
    for (part, first) in [("val", 4), ("test", 8)] {
        let [a, b, c, d] = [first, first + 1, first + 2, first + 3];
        let rows = format!(
            "filename,label\n{a}.png,{part}1\n{b}.png,{part}1\n{c}.png,{part}2\n{d}.png,{part}2\n"
        );
        std::fs::write(folder.join(format!("{part}.csv")), rows).expect("a file can be written");
    }
}
