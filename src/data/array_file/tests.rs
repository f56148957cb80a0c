use super::*;

/// A `.npy` of version 1 with this header and these bytes.
fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!(
        "{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}          \n"
    );
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn read(bytes: &[u8]) -> Result<Array, String> {
    of_npy("x", bytes, bytes.len() as u64)
}

fn little(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn every_type_becomes_numbers() {
    let floats = |descr: &str, data: &[u8]| {
        let array = read(&npy(descr, "False", "(2,)", data)).unwrap();
        assert_eq!(array.shape, [2]);
        array.floats("x", false).unwrap()
    };
    let halves: Vec<u8> =
        [0.5, -2.0].iter().flat_map(|it| f16::from_f32(*it).to_le_bytes()).collect();
    let big: Vec<u8> = [0.5_f32, -2.0].iter().flat_map(|it| it.to_be_bytes()).collect();
    let doubles: Vec<u8> = [0.5_f64, -2.0].iter().flat_map(|it| it.to_le_bytes()).collect();
    let wanted = vec![0.5, -2.0];
    assert_eq!(floats("<f4", &little(&wanted)), (wanted.clone(), false));
    assert_eq!(floats(">f4", &big), (wanted.clone(), false));
    assert_eq!(floats("<f2", &halves), (wanted.clone(), false));
    assert_eq!(floats("<f8", &doubles), (wanted, true));
    assert_eq!(floats("|u1", &[3, 255]), (vec![3.0, 255.0], false));
    let pixels = read(&npy("|u1", "False", "(2,)", &[0, 255])).unwrap();
    assert_eq!(pixels.floats("x", true).unwrap().0, [0.0, 1.0]);
    let long = [7_i64, -1].map(i64::to_le_bytes).concat();
    let array = read(&npy("<i8", "False", "(2,)", &long)).unwrap();
    assert_eq!(array.integers("x").unwrap(), [7, -1]);
    let short = [300_u16, 4].map(u16::to_le_bytes).concat();
    let array = read(&npy("<u2", "False", "(2,)", &short)).unwrap();
    assert_eq!(array.integers("x").unwrap(), [300, 4]);
    let floats = read(&npy("<f4", "False", "(1,)", &little(&[1.0]))).unwrap();
    assert!(floats.integers("y").unwrap_err().contains("`y`"));
}

#[test]
fn columns_first_become_rows_first() {
    // [[0, 1, 2], [3, 4, 5]] column by column.
    let data = little(&[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    let array = read(&npy("<f4", "True", "(2, 3)", &data)).unwrap();
    assert_eq!(array.shape, [2, 3]);
    assert_eq!(array.floats("x", false).unwrap().0, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
}

#[test]
fn damaged_headers_are_refused_before_memory_is_taken() {
    let one = little(&[1.0]);
    let huge = "(4294967295, 4294967295, 4294967295)";
    for (bytes, part) in [
        (npy("<f4", "False", "(5,)", &one), "truncated"),
        (npy("<f4", "False", huge, &one), "truncated or damaged"),
        (npy("<f4", "False", "nothing", &one), "truncated or damaged"),
        (npy("|O", "False", "(1,)", &one), "Python objects"),
        (npy("<c8", "False", "(1,)", &[0; 8]), "of the type"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "header of 4294967295"),
        (b"\x93NU".to_vec(), "damaged"),
    ] {
        let text = read(&bytes).unwrap_err();
        assert!(text.contains(part) && text.contains("`x`"), "{part}: {text}");
    }
    let mut nan = npy("<f4", "False", "(1, 2)", &little(&[0.0, f32::NAN]));
    let text = read(&nan).unwrap().floats("x", false).unwrap_err();
    assert!(text.contains("NaN at [0, 1]"), "{text}");
    nan.truncate(nan.len() - 4);
    assert!(read(&nan).unwrap_err().contains("damaged"));
}

#[test]
fn files_that_hold_something_else_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let text = |path: &Path| ArrayFile::open(path).unwrap_err().to_string();
    assert!(text(&file("a.npz", b"hello there")).contains("safetensors"));
    assert!(text(&file("b.npz", b"PK\x03\x04 and no more")).contains("damaged"));
    let alone = npy("<f4", "False", "(1,)", &little(&[1.0]));
    assert!(text(&file("alone.npy", &alone)).contains("numpy.savez"));
    assert!(text(folder.path()).contains("x.npy"));
    let x = file("x.npy", &alone);
    for path in [folder.path(), &x] {
        let mut file = ArrayFile::open(path).unwrap();
        assert_eq!(file.need("x").unwrap().floats("x", false).unwrap().0, [1.0]);
        assert_eq!(file.read("count").unwrap(), None);
        let text = file.need("y").unwrap_err().to_string();
        assert!(text.contains("no array `y`; it holds alone, x"), "{text}");
    }
}

#[test]
fn unsigned_integers_are_read_as_far_as_they_fit() {
    let of = |values: &[u64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        read(&npy("<u8", "False", "(2,)", &bytes)).and_then(|array| array.integers("x"))
    };
    assert_eq!(of(&[7, 1 << 40]).unwrap(), [7, 1 << 40]);
    assert!(of(&[7, u64::MAX]).unwrap_err().contains("18446744073709551615"));
}

#[test]
fn a_damaged_zip_is_noticed() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("arrays.npz");
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    let stored = zip::CompressionMethod::Stored;
    let options = zip::write::SimpleFileOptions::default().compression_method(stored);
    zip.start_file("x.npy", options).unwrap();
    zip.write_all(&npy("<f4", "False", "(2,)", &little(&[0.5, 123.0]))).unwrap();
    zip.finish().unwrap();
    let read = || ArrayFile::open(&path).unwrap().need("x");
    read().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.windows(4).position(|it| it == 123.0_f32.to_le_bytes()).unwrap();
    bytes[place] ^= 1;
    fs::write(&path, bytes).unwrap();
    let text = read().unwrap_err().to_string();
    assert!(text.contains("`x` is damaged") && text.contains("hecksum"), "{text}");
}
