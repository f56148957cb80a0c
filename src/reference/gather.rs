//! Examples picked by index.

/// The rows `indices` of `rows` `[N, width]`, in that order: `[indices, width]`.
pub fn gather_rows<T: Copy>(rows: &[T], width: usize, indices: &[u32]) -> Vec<T> {
    indices.iter().flat_map(|&i| &rows[i as usize * width..][..width]).copied().collect()
}

/// Square images of bytes, 0..=255 to 0..=1: `[picks, C, size, size]`.
///
/// `images` is `[I, C, size, size]` with `shape` = (C, size); an image of single bits has the bytes
/// 0 and 255. A pick is (image, quarter turns counter-clockwise).
pub fn gather_images(images: &[u8], shape: (usize, usize), picks: &[(u32, u32)]) -> Vec<f64> {
    let (channels, size) = shape;
    let image_len = channels * size * size;
    let mut pixels = Vec::with_capacity(picks.len() * image_len);
    for &(image, turns) in picks {
        let image = &images[image as usize * image_len..][..image_len];
        for plane in image.chunks_exact(size * size) {
            for index in 0..size * size {
                let (row, column) = source(size, turns, index / size, index % size);
                pixels.push(f64::from(plane[row * size + column]) / 255.0);
            }
        }
    }
    pixels
}

/// Where the pixel (row, column) of the turned image comes from.
fn source(size: usize, turns: u32, row: usize, column: usize) -> (usize, usize) {
    let last = size - 1;
    match turns % 4 {
        0 => (row, column),
        1 => (column, last - row),
        2 => (last - row, last - column),
        _ => (last - column, row),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_asked_for() {
        assert_eq!(gather_rows(&[1, 2, 3, 4, 5, 6], 2, &[2, 0, 2]), [5, 6, 1, 2, 5, 6]);
    }

    #[test]
    fn images_turn_counter_clockwise() {
        // 0 1      1 3      3 2      2 0
        // 2 3  ->  0 2  ->  1 0  ->  3 1
        let images = [9, 9, 9, 9, 0, 51, 102, 153];
        let turned = |shape, pick| -> Vec<u32> {
            let pixels = gather_images(&images, shape, &[pick]);
            pixels.iter().map(|p| (p * 255.0).round() as u32).collect()
        };
        assert_eq!(turned((1, 2), (1, 0)), [0, 51, 102, 153]);
        assert_eq!(turned((1, 2), (1, 1)), [51, 153, 0, 102]);
        assert_eq!(turned((1, 2), (1, 2)), [153, 102, 51, 0]);
        assert_eq!(turned((1, 2), (1, 3)), [102, 0, 153, 51]);
        assert_eq!(turned((2, 2), (0, 1)), [9, 9, 9, 9, 51, 153, 0, 102], "planes turn alone");
    }
}
