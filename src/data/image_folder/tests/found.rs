//! What is found, what is left out, and what is said.

use super::*;

/// What is said of a data set.
fn notes(folder: &Path) -> Vec<String> {
    read_cached(&spec(folder), Reading::ALL, None, &mut |_, _| {}).unwrap().notes
}

#[test]
fn every_part_has_a_line_with_what_is_left_out() {
    let folder = folders([2, 2, 2], 2);
    let root = folder.path();
    for name in ["a.heic", "B.HEIC", "notes.txt", "Thumbs.db", ".DS_Store", "x.png~"] {
        fs::write(root.join("train/c0").join(name), "").unwrap();
    }
    fs::create_dir(root.join("train/c1/more")).unwrap();
    fs::create_dir(root.join("train/.ipynb_checkpoints")).unwrap();
    fs::write(root.join("test/readme.md"), "").unwrap();
    assert_eq!(
        notes(root),
        [
            "train: 2 classes, 4 images; left out: 2 files .heic, which is not read (train/c0/B.HEIC, …), \
             1 file .txt, which is not read (train/c0/notes.txt), 1 folder, not looked into (train/c1/more)",
            "val: 2 classes, 4 images",
            "test: 2 classes, 4 images; left out: 1 file beside the classes (test/readme.md)",
        ]
    );
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_named() {
    use std::os::unix::fs::symlink;
    let folder = folders([2, 0, 2], 2);
    let root = folder.path();
    symlink("/nowhere/c9", root.join("train/c9")).unwrap();
    assert!(notes(root)[0].contains("left out: 1 link to nothing (train/c9)"), "{:?}", notes(root));
    symlink("/nowhere/9.png", root.join("train/c0/9.png")).unwrap();
    let text = message(&spec(root));
    assert!(text.contains("train/c0/9.png: is a link to /nowhere/9.png"), "{text}");
}

#[test]
fn classes_one_folder_too_deep_are_named_with_the_remedy() {
    let folder = folders([2, 0, 2], 2);
    let root = folder.path();
    fs::create_dir(root.join("train/all")).unwrap();
    fs::rename(root.join("train/c1"), root.join("train/all/c1")).unwrap();
    let text = message(&spec(root));
    assert!(text.contains("train/all/c1") && text.contains("one folder too deep"), "{text}");
}

#[test]
fn validation_has_three_names() {
    for name in ["valid", "validation"] {
        let folder = folders([2, 2, 2], 2);
        fs::rename(folder.path().join("val"), folder.path().join(name)).unwrap();
        assert_eq!(read(&spec(folder.path())).unwrap().val.len(), 2);
        fs::create_dir(folder.path().join("val")).unwrap();
        assert!(message(&spec(folder.path())).contains("are both there"));
    }
}

#[test]
fn a_part_that_is_not_drawn_from_may_be_anything_and_may_be_missing() {
    let folder = folders([2, 1, 0], 2);
    let train = Reading { parts: &[SplitPart::Train], ..Reading::ALL };
    let read = |reading| read_cached(&spec(folder.path()), reading, None, &mut |_, _| {});
    assert!(read(train).unwrap().split.test.is_empty());
    assert!(read(Reading::ALL).unwrap_err().to_string().contains("no folder `test`"));
    let val = Reading { parts: &[SplitPart::Val], ..Reading::ALL };
    assert!(read(val).unwrap_err().to_string().contains("tasks.way"));
}

#[test]
fn all_broken_files_are_listed() {
    let folder = folders([2, 0, 2], 15);
    for class in ["train/c0", "test/c2"] {
        for image in 0..12 {
            fs::write(folder.path().join(format!("{class}/{image:03}.png")), "none").unwrap();
        }
    }
    let text = message(&spec(folder.path()));
    assert!(text.contains("24 files cannot be used") && text.contains("and 4 more"), "{text}");
    assert!(text.contains("train/c0/000.png") && text.contains("test/c2/007.png"), "{text}");
    assert!(!text.contains("test/c2/008.png"), "{text}");
}

/// The bytes of `image` in a format.
fn encoded(image: &DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn every_format_is_read_whatever_its_name() {
    use image::ImageFormat as Format;
    let folder = folders([2, 0, 2], 2);
    let class = folder.path().join("train/c0");
    let image = DynamicImage::ImageRgb8(picture(3, 4));
    let formats = [Format::WebP, Format::Bmp, Format::Tiff, Format::Png];
    for (format, name) in formats.into_iter().zip(["w.webp", "x.dib", "y.tif", "z.jpeg"]) {
        fs::write(class.join(name), encoded(&image, format)).unwrap();
    }
    let one_colour = DynamicImage::ImageRgb8(RgbImage::from_pixel(6, 6, Rgb([200, 40, 90])));
    fs::write(class.join("v.gif"), encoded(&one_colour, Format::Gif)).unwrap();
    let line = &notes(folder.path())[0];
    assert_eq!(line, "train: 2 classes, 9 images (1 dib, 1 gif, 1 jpeg, 4 png, 1 tif, 1 webp)");
    let images = read(&spec(folder.path())).unwrap().images;
    for name in ["w.webp", "x.dib", "y.tif", "z.jpeg"] {
        let number = images.image_number("c0", name).unwrap() as usize;
        let wanted = picture(3, 4).get_pixel(4, 1).0;
        assert_eq!(bytes(&images, number, 1, 4), wanted, "{name}");
    }
    let gif = images.image_number("c0", "v.gif").unwrap() as usize;
    for (got, wanted) in bytes(&images, gif, 2, 2).into_iter().zip([200_u8, 40, 90]) {
        assert!(got.abs_diff(wanted) <= 4, "{got}, {wanted}");
    }
}

#[test]
fn a_jpeg_is_turned_by_its_exif_data_and_may_have_more_behind_its_end() {
    let folder = folders([2, 0, 2], 2);
    // Left half black, right half white; orientation 6 is a quarter turn clockwise: black is on top.
    let halves = RgbImage::from_fn(16, 16, |x, _| Rgb([if x < 8 { 0 } else { 255 }; 3]));
    let plain = encoded(&DynamicImage::ImageRgb8(halves), image::ImageFormat::Jpeg);
    let exif =
        b"\xFF\xE1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut turned = [&plain[..2], exif, &plain[2..]].concat();
    // A film behind the end, with what looks like the start of a scan in it.
    turned.extend(b"ftypmp42\xFF\xDA\x00\x08more\xFF\xDA");
    fs::write(folder.path().join("train/c0/turned.jpg"), &turned).unwrap();
    let images = read(&ImagesSpec { size: 16, ..spec(folder.path()) }).unwrap().images;
    let number = images.image_number("c0", "turned.jpg").unwrap() as usize;
    assert!(bytes(&images, number, 2, 2)[0] < 20 && bytes(&images, number, 2, 13)[0] < 20);
    assert!(bytes(&images, number, 13, 2)[0] > 235 && bytes(&images, number, 13, 13)[0] > 235);
}

#[test]
fn an_image_that_takes_too_much_memory_is_to_be_shrunk() {
    let folder = folders([2, 0, 2], 2);
    // A header alone: 60,000 × 60,000 pixels of 16 bits.
    let mut header = b"\0\0\0\rIHDR".to_vec();
    header.extend(60_000_u32.to_be_bytes());
    header.extend(60_000_u32.to_be_bytes());
    header.extend([16, 6, 0, 0, 0]);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&header[4..]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(header);
    png.extend(crc.to_be_bytes());
    png.extend(b"\0\0\0\x01IDAT\0\0\0\0\0");
    fs::write(folder.path().join("train/c0/large.png"), png).unwrap();
    let text = message(&spec(folder.path()));
    assert!(text.contains("large.png") && text.contains("shrink it"), "{text}");
}

#[test]
fn names_are_those_of_unicodes_composed_form() {
    let folder = folders([2, 0, 2], 2);
    fs::rename(folder.path().join("train/c0"), folder.path().join("train/cafe\u{301}")).unwrap();
    let split = read(&spec(folder.path())).unwrap();
    assert_eq!(split.images.image_number("caf\u{e9}", "000.png"), Some(2));
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_never_read() {
    use std::os::unix::fs::symlink;
    let folder = folders([2, 0, 2], 2);
    let root = folder.path();
    symlink("/dev/zero", root.join("train/c0/zero.txt")).unwrap();
    symlink("/dev/zero", root.join("train/zero.png")).unwrap();
    symlink("loop", root.join("train/loop")).unwrap();
    assert_eq!(
        notes(root)[0],
        "train: 2 classes, 4 images; left out: 1 link to nothing (train/loop), \
         2 pipes, sockets or devices (train/zero.png, …)"
    );
    symlink("/dev/zero", root.join("train/c0/zero.png")).unwrap();
    assert!(message(&spec(root)).contains("train/c0/zero.png: is a pipe, a socket or a device"));
}

#[test]
fn a_part_that_is_no_folder_is_refused_and_what_lies_beside_parts_is_said() {
    let folder = folders([2, 0, 2], 2);
    let root = folder.path();
    fs::create_dir(root.join("dev")).unwrap();
    fs::write(root.join("readme.md"), "").unwrap();
    let last = notes(root).pop().unwrap();
    assert_eq!(last, "not read, beside train, val and test: dev, readme.md");
    fs::create_dir_all(root.join("train/c0/more")).unwrap();
    save(picture(0, 0), &root.join("train/c0/more/0.png"));
    assert!(notes(root)[0].contains("1 folder with images inside a class"), "{:?}", notes(root));
    fs::write(root.join("val"), "").unwrap();
    assert!(message(&spec(root)).contains("val: is no folder"));
}
