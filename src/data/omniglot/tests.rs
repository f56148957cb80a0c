use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::tasks::EpisodeSpec;

const SIDE: u32 = 15;

/// Drawing `drawing` of character `number`: white, with a few black pixels that tell it apart.
fn png(number: u32, drawing: u32) -> Vec<u8> {
    let mut image = GrayImage::from_pixel(SIDE, SIDE, Luma([255]));
    image.put_pixel(1 + number % 13, 1 + drawing % 13, Luma([0]));
    image.put_pixel(7, 7, Luma([0]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Paths and bytes of a part with `characters` characters of three drawings in two alphabets.
fn files(part: &str, characters: u32) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for number in 0..characters {
        let alphabet = ["Beta", "Alpha"][number as usize % 2];
        for drawing in 0..3 {
            let name =
                format!("{part}/{alphabet}/character{number:02}/{number:04}_{drawing:02}.png");
            files.push((name, png(number, drawing)));
        }
    }
    files
}

fn zip(folder: &Path, part: &str, characters: u32, method: zip::CompressionMethod) {
    let file = fs::File::create(folder.join(format!("{part}.zip"))).unwrap();
    write_zip(file, files(part, characters), method);
}

fn write_zip(file: fs::File, files: Vec<(String, Vec<u8>)>, method: zip::CompressionMethod) {
    let mut writer = ZipWriter::new(file);
    for (name, bytes) in files {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(name, options).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    writer.finish().unwrap();
}

fn extract(folder: &Path, part: &str, characters: u32) {
    for (name, bytes) in files(part, characters) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn both_zips(method: zip::CompressionMethod) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    zip(folder.path(), PARTS[0], 6, method);
    zip(folder.path(), PARTS[1], 4, method);
    folder
}

fn spec(folder: &Path) -> OmniglotSpec {
    let spec = OmniglotSpec::new(EpisodeSpec::new([2, 1], 2));
    OmniglotSpec { data: Some(folder.to_path_buf()), size: 5, train_count: 7, ..spec }
}

fn read(spec: &OmniglotSpec) -> Result<Split> {
    read_cached(spec, Reading::ALL, None, &mut |_, _| {}).map(|set| set.split)
}

fn message(spec: &OmniglotSpec) -> String {
    read(spec).expect_err("must be refused").to_string()
}

#[test]
fn stored_and_deflated_zips_and_folders_give_the_same_set() {
    let stored = both_zips(zip::CompressionMethod::Stored);
    let deflated = both_zips(zip::CompressionMethod::Deflated);
    let folders = tempfile::tempdir().unwrap();
    extract(folders.path(), PARTS[0], 6);
    zip(folders.path(), PARTS[1], 4, zip::CompressionMethod::Stored);
    let set = read(&spec(stored.path())).unwrap();
    assert_eq!(set, read(&spec(deflated.path())).unwrap());
    assert_eq!(set, read(&spec(folders.path())).unwrap());
    assert_eq!(set.images.len(), 30);
    assert_eq!(set.images.classes[0].name, "images_background/Alpha/character01");
    assert_eq!(set.images.classes[1].name, "images_evaluation/Alpha/character01");
}

#[test]
fn training_classes_are_turned_and_test_classes_are_not() {
    let folder = both_zips(zip::CompressionMethod::Stored);
    let set = read(&spec(folder.path())).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (28, 3));
    assert_eq!(set.train[7], SplitClass { rotation: 1, ..set.train[0] });
    assert!(set.test.iter().all(|class| class.rotation == 0));
    let mut all: Vec<usize> =
        set.train[..7].iter().chain(&set.test).map(|class| class.class).collect();
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<_>>());
    let plain = read(&OmniglotSpec { rotations: false, ..spec(folder.path()) }).unwrap();
    assert_eq!(plain.train, set.train[..7]);
    let other = read(&OmniglotSpec { split_seed: 1, ..spec(folder.path()) }).unwrap();
    assert_ne!(other.test, set.test);
    // Tests on the training classes, which are all where none are named.
    let test_classes = Some("train".into());
    let same = read(&OmniglotSpec { test_classes, ..spec(folder.path()) }).unwrap();
    assert_eq!((same.train.len(), same.test.len()), (40, 10));
    assert_eq!(same.train[..10], same.test);
}

#[test]
fn resizing_takes_the_nearest_pixel() {
    let folder = both_zips(zip::CompressionMethod::Stored);
    let set = read(&spec(folder.path())).unwrap().images;
    // Pixel 2 of 5 is pixel 7 of 15: the black one in the middle.
    assert_eq!(set.pixel(0, 0, 2 * 5 + 2), 0.0);
    let black = (0..25).filter(|index| set.pixel(0, 0, *index) == 0.0).count();
    assert!((1..=2).contains(&black));
}

#[test]
fn class_lists_fix_the_split() {
    let folder = both_zips(zip::CompressionMethod::Stored);
    let list = folder.path().join("train.txt");
    let text =
        "# two\r\nimages_background/Alpha/character01/\r\n\nimages_evaluation/Beta/character02\n";
    fs::write(&list, text).unwrap();
    let with = |train: Option<&Path>, test: Option<&Path>| OmniglotSpec {
        rotations: false,
        train_classes: train.map(Path::to_path_buf),
        test_classes: test.map(Path::to_path_buf),
        ..spec(folder.path())
    };
    let set = read(&with(Some(&list), None)).unwrap();
    let names: Vec<&str> =
        set.train.iter().map(|class| set.images.classes[class.class].name.as_str()).collect();
    assert_eq!(
        names,
        ["images_background/Alpha/character01", "images_evaluation/Beta/character02"]
    );
    assert_eq!(set.test.len(), 8);
    let reversed = read(&with(None, Some(&list))).unwrap();
    assert_eq!((reversed.train.len(), reversed.test.len()), (8, 2));
    assert!(message(&with(Some(&list), Some(&list))).contains("character01"));
    let wrong = folder.path().join("wrong.txt");
    fs::write(&wrong, "images_background/Alpha/charakter01\n").unwrap();
    let text = message(&with(Some(&wrong), None));
    assert!(text.contains("wrong.txt") && text.contains("line 1"), "{text}");
    assert!(text.contains("`images_background/Alpha/character01`"), "{text}");
}

#[test]
fn what_is_missing_is_named() {
    let empty = tempfile::tempdir().unwrap();
    assert!(message(&spec(empty.path())).contains("images_background.zip"));
    assert!(message(&spec(&empty.path().join("none"))).contains("tasks.data"));
    zip(empty.path(), PARTS[0], 6, zip::CompressionMethod::Stored);
    assert!(message(&spec(empty.path())).contains("images_evaluation is missing"));
    let folder = both_zips(zip::CompressionMethod::Stored);
    let text = message(&OmniglotSpec { train_count: 10, ..spec(folder.path()) });
    assert!(text.contains("tasks.train_count"), "{text}");
}

#[test]
fn damaged_files_are_named() {
    let folder = both_zips(zip::CompressionMethod::Stored);
    let path = folder.path().join("images_evaluation.zip");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(message(&spec(folder.path())).contains("images_evaluation.zip"));
    fs::remove_file(&path).unwrap();
    extract(folder.path(), PARTS[1], 4);
    let image = folder.path().join("images_evaluation/Alpha/character01/0001_00.png");
    let bytes = fs::read(&image).unwrap();
    fs::write(&image, &bytes[..bytes.len() / 2]).unwrap();
    assert!(message(&spec(folder.path())).contains("0001_00.png"));
    let colour = image::RgbImage::from_pixel(SIDE, SIDE, image::Rgb([9, 9, 9]));
    colour.save(&image).unwrap();
    assert!(message(&spec(folder.path())).contains("grey"));
    GrayImage::new(3, 4).save(&image).unwrap();
    assert!(message(&spec(folder.path())).contains("3×4"));
}

#[test]
fn the_real_data_set_is_whole() {
    if std::env::var_os("REPTILE_DATA").is_none() {
        eprintln!("skipped: no data");
        return;
    }
    let spec = OmniglotSpec { data: None, size: 28, train_count: 1200, ..spec(Path::new("")) };
    let Split { images, train, test, val } = read(&spec).unwrap();
    assert_eq!((images.classes.len(), images.len()), (1623, 32460));
    assert_eq!((train.len(), val.len(), test.len()), (4800, 0, 423));
    assert!(images.classes.iter().all(|class| class.images == 20));
    let pixels = images.len() * images.pixels();
    let white: u32 = images.words.iter().map(|word| word.count_ones()).sum();
    let ink = 1.0 - f64::from(white) / pixels as f64;
    assert!((0.06..0.10).contains(&ink), "ink covers {ink} of the pixels");
    let name = "images_background/Braille/character01";
    let braille = images.classes.iter().find(|class| class.name == name).unwrap();
    let words = |drawing: u32| {
        let first = (braille.first_image + drawing) as usize * images.words_per_image();
        &images.words[first..first + images.words_per_image()]
    };
    assert_eq!(words(2), words(18), "drawings 03 and 19 are the one known duplicate");
    assert_ne!(words(2), words(3));
    let number = images.image_number(name, "0192_19.png");
    assert_eq!(number, Some(braille.first_image + 18));
}

/// Both parts, with `change` applied to the files of the first.
fn changed(change: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) -> TempDir {
    let folder = both_zips(zip::CompressionMethod::Stored);
    let mut files = files(PARTS[0], 6);
    change(&mut files);
    let file = fs::File::create(folder.path().join("images_background.zip")).unwrap();
    write_zip(file, files, zip::CompressionMethod::Deflated);
    folder
}

#[test]
fn a_doubled_image_is_refused() {
    let folder = changed(|files| {
        let (name, bytes) = files[0].clone();
        files.push((format!("copy/{name}"), bytes));
    });
    let text = message(&spec(folder.path()));
    assert!(text.contains("twice") && text.contains(" copy/images_background/Beta"), "{text}");
    let folders = both_zips(zip::CompressionMethod::Stored);
    fs::remove_file(folders.path().join("images_background.zip")).unwrap();
    extract(&folders.path().join(PARTS[0]), PARTS[0], 6);
    let nested = read(&spec(folders.path())).unwrap();
    assert_eq!(nested, read(&spec(both_zips(zip::CompressionMethod::Stored).path())).unwrap());
    extract(folders.path(), PARTS[0], 6);
    assert!(message(&spec(folders.path())).contains("twice"));
}

#[test]
fn images_outside_a_character_are_no_class() {
    let plain = read(&spec(both_zips(zip::CompressionMethod::Stored).path())).unwrap();
    for name in ["stray.png", "images_background/stray.png", "images_background/Beta/stray.png"] {
        let folder = changed(|files| files.push((name.into(), png(1, 1))));
        assert_eq!(read(&spec(folder.path())).unwrap(), plain, "{name}");
    }
    let folder = both_zips(zip::CompressionMethod::Stored);
    fs::remove_file(folder.path().join("images_background.zip")).unwrap();
    extract(folder.path(), PARTS[0], 6);
    fs::write(folder.path().join("images_background/Beta/stray.png"), png(1, 1)).unwrap();
    assert_eq!(read(&spec(folder.path())).unwrap(), plain);
}

#[test]
fn damage_inside_a_zip_names_the_zip_and_the_member() {
    let folder = changed(|files| files[0].1.truncate(50));
    let text = message(&spec(folder.path()));
    let member = "images_background/Beta/character00/0000_00.png";
    assert!(text.contains("images_background.zip") && text.contains(member), "{text}");
    let path = folder.path().join("images_evaluation.zip");
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.windows(4).position(|window| window == b"IDAT").unwrap();
    bytes[place + 5] ^= 0xFF;
    fs::write(&path, bytes).unwrap();
    zip(folder.path(), PARTS[0], 6, zip::CompressionMethod::Stored);
    let text = message(&spec(folder.path()));
    assert!(text.contains("images_evaluation.zip") && text.contains("0000_00.png"), "{text}");
}

/// A whole header, checksum included, of 2³¹ − 1 pixels a side.
#[test]
fn a_header_that_asks_for_all_memory_is_refused() {
    let folder = changed(|files| {
        let bytes = &mut files[0].1;
        bytes[16..24].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF]);
        let sum = bytes[12..29].iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ ((sum & 1) * 0xEDB8_8320))
        });
        bytes[29..33].copy_from_slice(&(!sum).to_be_bytes());
    });
    assert!(message(&spec(folder.path())).contains("0000_00.png"));
}

#[test]
fn impossible_sizes_are_refused() {
    let folder = both_zips(zip::CompressionMethod::Stored);
    let text = |size| message(&OmniglotSpec { size, ..spec(folder.path()) });
    assert!(text(0).contains("tasks.size"));
    let large = text(100_000);
    // 30 images of 10¹⁰ / 32 words of 4 bytes.
    assert!(large.contains("tasks.size") && large.contains("37500000000 bytes"), "{large}");
    assert!(text(usize::MAX).contains("tasks.size"));
}

#[test]
fn a_listed_class_of_an_absent_part_names_the_part() {
    let folder = tempfile::tempdir().unwrap();
    zip(folder.path(), PARTS[0], 6, zip::CompressionMethod::Stored);
    let list = folder.path().join("list.txt");
    let spec = OmniglotSpec { train_classes: Some(list.clone()), ..spec(folder.path()) };
    fs::write(&list, "\u{feff}images_background/Alpha/character01\n").unwrap();
    assert_eq!(read(&spec).unwrap().train.len(), 4, "one part is enough for its own classes");
    fs::write(&list, "images_evaluation/Alpha/character01\n").unwrap();
    let text = message(&spec);
    assert!(text.contains("line 1") && text.contains("images_evaluation.zip"), "{text}");
    fs::write(&list, "images_background/Alpha/character01\n".repeat(2)).unwrap();
    assert!(message(&spec).contains("line 2"));
}

/// Both parts extracted.
fn folders() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    extract(folder.path(), PARTS[0], 6);
    extract(folder.path(), PARTS[1], 4);
    folder
}

#[test]
fn hidden_folders_are_no_characters() {
    let folder = folders();
    let plain = read(&spec(folder.path())).unwrap();
    let hidden = folder.path().join(PARTS[0]).join("Alpha/.ipynb_checkpoints");
    fs::create_dir(&hidden).unwrap();
    fs::write(hidden.join("0001_00-checkpoint.png"), png(1, 0)).unwrap();
    fs::create_dir_all(folder.path().join(PARTS[0]).join("@eaDir/character01")).unwrap();
    assert_eq!(read(&spec(folder.path())).unwrap(), plain);
    // Folders above a part do not matter.
    let zips = tempfile::tempdir().unwrap();
    for (part, characters) in PARTS.into_iter().zip([6, 4]) {
        let mut files = files(part, characters);
        files.iter_mut().for_each(|(name, _)| name.insert_str(0, "./.data/"));
        files.push((format!("__MACOSX/{part}/Alpha/character01/._0001_00.png"), b"no".to_vec()));
        let file = fs::File::create(zips.path().join(format!("{part}.zip"))).unwrap();
        write_zip(file, files, zip::CompressionMethod::Stored);
    }
    assert_eq!(read(&spec(zips.path())).unwrap(), plain);
}

#[test]
fn characters_without_images_of_their_own_are_named() {
    let folder = folders();
    let character = folder.path().join(PARTS[0]).join("Alpha/character01");
    let inner = character.join("all");
    fs::create_dir(&inner).unwrap();
    fs::rename(character.join("0001_00.png"), inner.join("0001_00.png")).unwrap();
    // The character has others: what is deeper is said.
    let notes =
        read_cached(&spec(folder.path()), Reading::ALL, None, &mut |_, _| {}).unwrap().notes;
    assert!(notes[0].contains("left out: 1 image not in a folder Alphabet/character"), "{notes:?}");
    for drawing in 1..3 {
        fs::remove_file(character.join(format!("0001_{drawing:02}.png"))).unwrap();
    }
    let text = message(&spec(folder.path()));
    assert!(text.contains("Alpha/character01 holds no image"), "{text}");
}

#[cfg(unix)]
#[test]
fn loops_and_pipes_end() {
    use std::os::unix::fs::symlink;
    let folder = folders();
    let alphabet = folder.path().join(PARTS[0]).join("Alpha");
    for name in ["loop1", "loop2"] {
        symlink(".", alphabet.join(name)).unwrap();
    }
    symlink("/nowhere", alphabet.join("character99")).unwrap();
    let notes =
        read_cached(&spec(folder.path()), Reading::ALL, None, &mut |_, _| {}).unwrap().notes;
    for part in ["1 link to nothing (Alpha/character99)", "2 folders too deep or leading back"] {
        assert!(notes[0].contains(part), "{part} in {notes:?}");
    }
    symlink("/dev/zero", alphabet.join("character01/x.png")).unwrap();
    assert!(message(&spec(folder.path())).contains("x.png: is a pipe, a socket or a device"));
}

#[test]
fn zips_are_decoded_once_and_folders_are_read_each_time() {
    let (zips, cache) = (both_zips(zip::CompressionMethod::Stored), TempDir::new().unwrap());
    let read = |folder: &Path| {
        read_cached(&spec(folder), Reading::ALL, Some(cache.path()), &mut |_, _| {}).unwrap()
    };
    let kept = || -> Vec<PathBuf> {
        fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let set = read(zips.path());
    let stored = fs::read(&kept()[0]).unwrap();
    let again = read(zips.path());
    assert_eq!((&again.split, &again.stored), (&set.split, &set.stored));
    for at in [stored.len() - 1, stored.len() - 32 * set.split.images.len() - 1] {
        let mut damaged = stored.clone();
        damaged[at] ^= 1;
        fs::write(&kept()[0], damaged).unwrap();
        assert_eq!(read(zips.path()).split, set.split);
        assert_eq!(fs::read(&kept()[0]).unwrap(), stored, "is made anew");
    }
    // What is kept is what is taken: with an image changed and a checksum that fits, the change is read.
    let length = 4 * set.split.images.words.len() + 32 * set.split.images.len();
    let data = stored.len() - length;
    let mut forged = stored.clone();
    forged[data] ^= 1;
    let sums =
        [&stored[data..], &forged[data..]].map(|bytes| image_cache::hex(Sha256::digest(bytes)));
    let place = stored.windows(64).position(|part| part == sums[0].as_bytes()).unwrap();
    forged[place..place + 64].copy_from_slice(sums[1].as_bytes());
    fs::write(&kept()[0], forged).unwrap();
    assert_eq!(read(zips.path()).split.images.words[0], set.split.images.words[0] ^ 1);
    zip(zips.path(), "images_evaluation", 3, zip::CompressionMethod::Deflated);
    let other = read(zips.path()).split.images;
    assert!(other.len() != set.split.images.len() && other.words.iter().any(|word| *word != 0));
    read(folders().path());
    assert_eq!(kept().len(), 1, "one file a data set, and none for folders");
}
