//! Data sets made here, and CIFAR-FS where it is.

mod found;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba};
use tempfile::TempDir;

use super::*;
use crate::disk::tensor_file::TensorFile;
use crate::tasks::{Background, EpisodeSpec};

const SIDE: u32 = 6;

/// Image `image` of class `class`: no two pixels of it, and no two images, are the same.
fn picture(class: u32, image: u32) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([class, image, x * SIDE + y].map(|v| (v * 7) as u8)))
}

fn save(image: impl Into<DynamicImage>, path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.into().save(path).unwrap();
}

/// Classes c0, c1, … with `images` images each, so many in each part.
fn folders(counts: [u32; 3], images: u32) -> TempDir {
    each_class(counts, |class, place| {
        for image in 0..images {
            save(picture(class, image), &place.join(format!("{image:03}.png")));
        }
    })
}

/// The same as strips.
fn strips(counts: [u32; 3], images: u32) -> TempDir {
    each_class(counts, |class, place| {
        let mut strip = RgbImage::new(SIDE, SIDE * images);
        for image in 0..images {
            let top = i64::from(image * SIDE);
            image::imageops::replace(&mut strip, &picture(class, image), 0, top);
        }
        save(strip, &place.with_extension("png"));
    })
}

fn each_class(counts: [u32; 3], make: impl Fn(u32, &Path)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut class = 0;
    for (part, count) in SplitPart::ALL.into_iter().zip(counts) {
        for _ in 0..count {
            make(class, &folder.path().join(part.name()).join(format!("c{class}")));
            class += 1;
        }
    }
    folder
}

fn spec(folder: &Path) -> ImagesSpec {
    let spec = ImagesSpec::new(EpisodeSpec::new([2, 1], 2), SIDE as usize);
    ImagesSpec { data: Some(folder.to_path_buf()), ..spec }
}

/// Reads for a run that trains, validates and tests.
fn load_cached(
    spec: &ImagesSpec,
    cache: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Split> {
    read_cached(spec, Reading::ALL, cache, progress).map(|set| set.split)
}

fn read(spec: &ImagesSpec) -> Result<Split> {
    load_cached(spec, None, &mut |_, _| {})
}

fn message(spec: &ImagesSpec) -> String {
    read(spec).expect_err("must be refused").to_string()
}

/// The pixel (row, column) of an image, all channels, as bytes.
fn bytes(images: &ImageSet, number: usize, row: usize, column: usize) -> Vec<u8> {
    let plane = images.width * images.height;
    let pixel = |channel| images.pixel(number, 0, channel * plane + row * images.width + column);
    (0..images.channels).map(|channel| (pixel(channel) * 255.0).round() as u8).collect()
}

#[test]
fn folders_and_strips_of_the_same_images_are_the_same_set() {
    let (folders, strips) = (folders([3, 2, 2], 4), strips([3, 2, 2], 4));
    let mut progress = (0, 0);
    let told = &mut |done, total| progress = (done, total);
    let set = load_cached(&spec(folders.path()), None, told).unwrap();
    assert_eq!(progress, (28, 28));
    let other = read(&spec(strips.path())).unwrap();
    assert_eq!(set.images.words, other.images.words);
    assert_eq!(set.images.classes, other.images.classes);
    assert_eq!((set.train.len(), set.val.len(), set.test.len()), (3, 2, 2));
    let (file, place) = (("c4", "002.png"), ("c4", "2"));
    assert_eq!(set.images.image_number(file.0, file.1), Some(18));
    assert_eq!(other.images.image_number(place.0, place.1), Some(18));
    for (x, y) in [(0, 0), (5, 2), (1, 4)] {
        let wanted = picture(4, 2).get_pixel(x, y).0;
        assert_eq!(bytes(&set.images, 18, y as usize, x as usize), wanted);
    }
    let without = read(&spec(self::folders([3, 0, 2], 4).path())).unwrap();
    assert_eq!(without.classes(SplitPart::Val), without.train);
}

#[test]
fn other_sizes_and_kinds_are_brought_to_one() {
    let folder = folders([2, 0, 2], 2);
    let class = folder.path().join("train/c0");
    let [red, green, blue] = [200_u8, 40, 90];
    save(RgbImage::from_pixel(31, 9, Rgb([red, green, blue])), &class.join("a.jpg"));
    save(RgbImage::from_pixel(3, 4, Rgb([red, green, blue])), &class.join("b.PNG"));
    let wide = [red, green, blue].map(|value| u16::from(value) * 257);
    let wide: ImageBuffer<Rgb<u16>, Vec<u16>> = ImageBuffer::from_pixel(6, 6, Rgb(wide));
    save(wide, &class.join("c.png"));
    save(image::RgbaImage::from_pixel(6, 6, Rgba([red, green, blue, 0])), &class.join("d.png"));
    fs::write(class.join("e.jpeg"), include_bytes!("cmyk.jpg")).unwrap();
    save(GrayImage::from_pixel(6, 6, Luma([77])), &class.join("f.png"));
    save(image::GrayAlphaImage::from_pixel(9, 9, LumaA([77, 9])), &class.join("g.png"));
    fs::write(class.join("notes.txt"), "not an image").unwrap();
    fs::write(class.join(".hidden.png"), "not an image").unwrap();
    let images = read(&spec(folder.path())).unwrap().images;
    assert_eq!(images.classes[0].images, 9);
    let first = images.image_number("c0", "a.jpg").unwrap() as usize;
    for number in [first, first + 1, first + 2, first + 4] {
        for (got, wanted) in bytes(&images, number, 3, 2).into_iter().zip([red, green, blue]) {
            assert!(got.abs_diff(wanted) <= 2, "{}: {got}, {wanted}", images.files[number]);
        }
    }
    // Nothing is to be seen of it, and little of the last one, on white.
    assert_eq!(bytes(&images, first + 3, 3, 2), [255; 3]);
    assert_eq!(bytes(&images, first + 5, 5, 5), [77; 3]);
    assert_eq!(bytes(&images, first + 6, 0, 0), [249; 3]);
    let background = Background([10, 20, 30]);
    let laid = read(&ImagesSpec { background, ..spec(folder.path()) }).unwrap().images;
    assert_eq!(bytes(&laid, first + 3, 3, 2), [10, 20, 30]);
    let grey = read(&ImagesSpec { channels: 1, size: 4, ..spec(folder.path()) }).unwrap().images;
    assert_eq!((grey.words_per_image(), bytes(&grey, first + 5, 0, 0)), (4, vec![77]));
    // 0.2126 red + 0.7152 green + 0.0722 blue.
    assert_eq!(bytes(&grey, first + 1, 3, 3), [78]);
}

#[test]
fn shrinking_averages_and_strips_are_resized_as_folders_are() {
    let (folders, strips) = (folders([2, 0, 2], 2), strips([2, 0, 2], 2));
    let board = RgbImage::from_fn(60, 60, |x, y| Rgb([255 * ((x + y) % 2) as u8; 3]));
    save(board, &folders.path().join("test/c2/board.png"));
    let [folders, strips] =
        [&folders, &strips].map(|folder| read(&ImagesSpec { size: 3, ..spec(folder.path()) }));
    let (folders, strips) = (folders.unwrap().images, strips.unwrap().images);
    let board = folders.image_number("c2", "board.png").unwrap() as usize;
    assert!(bytes(&folders, board, 1, 1).iter().all(|value| value.abs_diff(127) < 3));
    let words = 4 * folders.words_per_image();
    assert_eq!(folders.words[..words], strips.words[..words]);
}

/// What a cache folder holds.
fn kept(cache: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

#[test]
fn a_second_load_does_not_decode() {
    let (folder, cache) = (folders([2, 0, 2], 3), tempfile::tempdir().unwrap());
    let cache = cache.path().join("new/folder");
    let read = || load_cached(&spec(folder.path()), Some(&cache), &mut |_, _| {});
    let set = read().unwrap();
    let stored = kept(&cache);
    assert_eq!(stored.len(), 1);
    // What is kept is used: with a pixel of it changed and a checksum that fits, the change is read.
    let (path, whole) = stored[0].clone();
    let file = TensorFile::parse(&whole).unwrap();
    let mut images = file.tensors["images"].data().to_vec();
    images[0] ^= 1;
    let mut forged = whole.clone();
    let at = whole.len() - images.len();
    forged[at..].copy_from_slice(&images);
    let sums = [file.tensors["images"].data(), &images]
        .map(|bytes| image_cache::hex(<sha2::Sha256 as sha2::Digest>::digest(bytes)));
    let place = forged.windows(64).position(|part| part == sums[0].as_bytes()).unwrap();
    forged[place..place + 64].copy_from_slice(sums[1].as_bytes());
    fs::write(&path, &forged).unwrap();
    assert_ne!(read().unwrap().images.words[0], set.images.words[0]);
    fs::write(&path, &whole).unwrap();
    // Two images change places, with the sizes and times that they had, as after unzip or rsync.
    let pair = ["train/c0/000.png", "train/c1/000.png"].map(|name| folder.path().join(name));
    let time = UNIX_EPOCH + Duration::from_secs(315_532_800);
    let other = folder.path().join("other");
    for path in &pair {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    fs::rename(&pair[0], &other).unwrap();
    fs::rename(&pair[1], &pair[0]).unwrap();
    fs::rename(&other, &pair[1]).unwrap();
    let swapped = read().unwrap();
    let words = set.images.words_per_image();
    assert_eq!(swapped.images.words[..words], set.images.words[3 * words..4 * words]);
    assert_eq!(kept(&cache).len(), 1, "the old images are replaced");
    load_cached(&ImagesSpec { size: 3, ..spec(folder.path()) }, Some(&cache), &mut |_, _| {})
        .unwrap();
    assert_eq!(kept(&cache).len(), 2, "another size is kept beside it");
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let (folder, cache) = (folders([2, 0, 2], 3), tempfile::tempdir().unwrap());
    let read = |cache: &Path| load_cached(&spec(folder.path()), Some(cache), &mut |_, _| {});
    let set = read(cache.path()).unwrap();
    let (path, whole) = kept(cache.path()).remove(0);
    let mut flipped = whole.clone();
    let middle = flipped.len() - 50;
    flipped[middle] ^= 1;
    let longer = [&whole[..], &[0]].concat();
    for damaged in [&flipped, &whole[..whole.len() - 9], &whole[..5], &[], b"hello", &longer] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(read(cache.path()).unwrap(), set);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    // A place that cannot be written is no error.
    let file = cache.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(read(&file.join("below")).unwrap(), set);
}

#[test]
fn strips_of_the_right_size_need_no_cache() {
    let (folder, cache) = (strips([2, 0, 2], 3), tempfile::tempdir().unwrap());
    load_cached(&spec(folder.path()), Some(cache.path()), &mut |_, _| {}).unwrap();
    assert!(kept(cache.path()).is_empty());
}

#[test]
fn what_is_missing_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let root = empty.path();
    let inside = root.join("a/b");
    fs::create_dir_all(inside.join("train")).unwrap();
    let text = message(&spec(&root.join("a")));
    assert!(text.contains("a/b has it: give that one"), "{text}");
    fs::remove_dir_all(root.join("a")).unwrap();
    let text = message(&ImagesSpec { data: None, ..spec(root) });
    assert!(text.contains("tasks.data") && text.contains("tasks.set"), "{text}");
    assert!(message(&spec(&root.join("none"))).contains("no such folder"));
    assert!(message(&spec(root)).contains("no folder `train`"));
    fs::create_dir_all(root.join("train/c0")).unwrap();
    assert!(message(&spec(root)).contains("c0: holds no image (png"));
    save(picture(0, 0), &root.join("train/c0/0.jpg"));
    assert!(message(&spec(root)).contains("no folder `test`"));
    fs::create_dir_all(root.join("test")).unwrap();
    assert!(message(&spec(root)).contains("test: holds neither"));
    save(picture(0, 0), &root.join("test/c1.png"));
    assert!(message(&spec(root)).contains("another layout than"));
    save(picture(0, 0), &root.join("test/c1/0.png"));
    assert!(message(&spec(root)).contains("test: holds both"));
    fs::remove_file(root.join("test/c1.png")).unwrap();
    assert!(message(&spec(root)).contains("tasks.way"));
}

#[test]
fn too_small_sets_are_refused_before_they_are_read() {
    let folder = folders([3, 1, 2], 2);
    fs::write(folder.path().join("train/c0/000.png"), "no image").unwrap();
    let text = message(&spec(folder.path()));
    assert!(text.contains("tasks.way") && text.contains("val"), "{text}");
    save(picture(0, 0), &folder.path().join("val/d/0.png"));
    let text = message(&spec(folder.path()));
    assert!(text.contains("tasks.shots") && text.contains("d has 1"), "{text}");
    fs::remove_dir_all(folder.path().join("val")).unwrap();
    let large = ImagesSpec { size: 100_000, ..spec(folder.path()) };
    assert!(message(&large).contains("tasks.size"));
}

#[test]
fn damaged_and_foreign_files_are_named() {
    let jpeg = |tenths| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture(1, 1).write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        let bytes = bytes.into_inner();
        bytes[..bytes.len() * tenths / 10].to_vec()
    };
    let folder = folders([2, 0, 2], 2);
    let path = folder.path().join("test/c3/x.jpg");
    let mut cut = fs::read(folder.path().join("train/c0/000.png")).unwrap();
    cut.truncate(cut.len() / 2);
    for bytes in [jpeg(9), jpeg(7), jpeg(3), cut, b"GIF89a".to_vec(), Vec::new()] {
        fs::write(&path, bytes).unwrap();
        let text = message(&spec(folder.path()));
        assert!(text.contains("c3/x.jpg: cannot be decoded"), "{text}");
    }
    fs::write(&path, jpeg(10)).unwrap();
    read(&spec(folder.path())).unwrap();
}

#[test]
fn a_class_belongs_to_one_part() {
    let folder = folders([2, 2, 2], 2);
    save(picture(0, 0), &folder.path().join("test/c1/0.png"));
    let text = message(&spec(folder.path()));
    assert!(text.contains("`c1`") && text.contains("train/c1"), "{text}");
    let folder = strips([2, 0, 2], 2);
    save(picture(0, 0), &folder.path().join("test/c2.PNG"));
    let text = message(&spec(folder.path()));
    assert!(text.contains("`c2`") && text.contains("c2.PNG"), "{text}");
    assert!(text.contains("or set tasks.test_classes = \"train\""), "{text}");
}

#[test]
fn test_tasks_may_be_of_training_classes_where_that_is_said() {
    let common =
        |folder: &TempDir| ImagesSpec { test_classes: TestClasses::Train, ..spec(folder.path()) };
    let names = |split: &Split, part| -> Vec<String> {
        let own = split.classes(part).iter();
        own.map(|class| split.images.classes[class.class].name.clone()).collect()
    };
    // In images of their own.
    let folder = folders([2, 2, 2], 2);
    save(picture(9, 9), &folder.path().join("test/c1/0.png"));
    save(picture(9, 8), &folder.path().join("test/c1/1.png"));
    let split = read(&common(&folder)).unwrap();
    assert_eq!(names(&split, SplitPart::Train), ["c0", "c1"]);
    assert_eq!(names(&split, SplitPart::Test), ["test/c1", "c4", "c5"]);
    // In the same images.
    let folder = folders([3, 0, 0], 2);
    let set = read_cached(&common(&folder), Reading::ALL, None, &mut |_, _| {}).unwrap();
    assert_eq!(names(&set.split, SplitPart::Test), ["c0", "c1", "c2"]);
    let later = Reading { stored: Some(&set.stored), parts: &[SplitPart::Test], ..Reading::ALL };
    let again = read_cached(&common(&folder), later, None, &mut |_, _| {}).unwrap();
    assert_eq!(again.split, set.split);
}

#[test]
fn strips_that_are_none_are_refused() {
    let folder = strips([2, 0, 2], 2);
    let path = folder.path().join("test/c3.png");
    save(RgbImage::new(SIDE, 2 * SIDE + 1), &path);
    let text = message(&spec(folder.path()));
    assert!(text.contains("c3.png") && text.contains("6 wide and 13 tall"), "{text}");
    save(RgbImage::new(5, 10), &path);
    let text = message(&spec(folder.path()));
    assert!(text.contains("c3.png") && text.contains("5 pixels") && text.contains("c0.png"));
    fs::write(&path, "no image").unwrap();
    assert!(message(&spec(folder.path())).contains("c3.png"));
}

#[test]
fn the_real_cifar_fs_is_whole() {
    if std::env::var_os("REPTILE_DATA").is_none() {
        eprintln!("skipped: no data");
        return;
    }
    let spec =
        ImagesSpec { data: None, set: Some("cifar_fs".into()), size: 32, ..spec(Path::new("")) };
    let Split { images, train, val, test } = read(&spec).unwrap();
    assert_eq!([train.len(), val.len(), test.len()], [64, 16, 20]);
    assert_eq!(images.len(), 60_000);
    // The published means of CIFAR-100's own training part, the first 500 of each class.
    let wanted = [0.507_075_159, 0.486_548_873, 0.440_917_843];
    for (channel, wanted) in wanted.into_iter().enumerate() {
        let mut sum = 0;
        for image in
            images.classes.iter().flat_map(|class| (class.first_image as usize..).take(500))
        {
            let plane = image * images.words_per_image() + 256 * channel;
            for word in &images.words[plane..plane + 256] {
                // Four bytes at once: unoptimised code goes through 50,000 images.
                let pairs = (word & 0x00FF_00FF) + ((word >> 8) & 0x00FF_00FF);
                sum += u64::from((pairs & 0xFFFF) + (pairs >> 16));
            }
        }
        let mean = sum as f64 / 255.0 / (50_000.0 * 1024.0);
        assert!((mean - wanted).abs() < 1e-8, "channel {channel}: {mean}");
    }
}
