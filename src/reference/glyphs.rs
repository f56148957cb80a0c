//! Glyphs drawn from a task's random stream.

use crate::rng::{Part, Stream, below, unit};

/// Random words of a class and of an example.
const WORDS: u32 = 32;
/// Line segments of a curve.
const PIECES: u32 = 8;
/// Pixels over which the edge of a stroke goes from ink to paper.
const EDGE: f64 = 0.25;

type Point = [f64; 2];

/// A quadratic Bézier curve: start, control point, end.
type Curve = [Point; 3];

/// How the examples of a class differ; lengths are in sides of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GlyphFamily {
    /// Largest shift of a control point along each axis.
    pub jitter: f32,
    /// Largest turn in radians.
    pub rotation: f32,
    /// Largest change of the factor 1 on each axis.
    pub scale: f32,
    /// Largest shear.
    pub shear: f32,
    /// Largest shift of the glyph along each axis.
    pub shift: f32,
    /// Lowest and highest width of the strokes.
    pub width: [f32; 2],
}

/// Example `example` of class `class` of the task: `[size, size]`, 1 = paper, 0 = ink. The support
/// examples of a class come first, then its queries.
pub fn glyph(
    stream: &Stream,
    family: &GlyphFamily,
    [class, example]: [u32; 2],
    size: usize,
) -> Vec<f64> {
    let first = (class * 256 + example) * WORDS;
    let signed = |place: u32| -> Point {
        stream.words(Part::Examples, first + place).map(|word| 2.0 * f64::from(unit(word)) - 1.0)
    };
    let wide = f64::from;
    let ([turn, shear], scale, shift) = (signed(0), signed(1), signed(2));
    let (sine, cosine) = (wide(family.rotation) * turn).sin_cos();
    let moved = |(number, point): (u32, Point)| -> Point {
        let jitter = signed(4 + number);
        let [x, y] = [0, 1].map(|axis| {
            (1.0 + wide(family.scale) * scale[axis])
                * (point[axis] + wide(family.jitter) * jitter[axis])
        });
        let x = x + wide(family.shear) * shear * y;
        let turned = [cosine * x - sine * y, sine * x + cosine * y];
        [0, 1].map(|axis| size as f64 * (turned[axis] + 0.5 + wide(family.shift) * shift[axis]))
    };
    let mut segments = Vec::new();
    for (number, curve) in class_curves(stream, class) {
        let [a, b, c] = curve;
        let curve = [(number, a), (number + 1, b), (number + 2, c)].map(moved);
        let ends = |i: u32| at(&curve, f64::from(i) / f64::from(PIECES));
        segments.extend((0..PIECES).map(|i| [ends(i), ends(i + 1)]));
    }
    let thickness = unit(stream.words(Part::Examples, first + 3)[0]);
    let [low, high] = family.width.map(wide);
    draw(&segments, size as f64 * (low + (high - low) * wide(thickness)), size)
}

/// The curves of a class in a box around zero, each with the number of its first control point.
fn class_curves(stream: &Stream, class: u32) -> Vec<(u32, Curve)> {
    let words = |place: u32| stream.words(Part::Task, class * WORDS + place);
    let [strokes, room] = words(0);
    let mut curves: Vec<(u32, Curve)> = Vec::new();
    let mut before: Curve = [[0.0; 2]; 3];
    for k in 0..2 + below(strokes, 3) {
        let base = 1 + 5 * k;
        let (place, [attached, two], bends) = (words(base), words(base + 1), words(base + 3));
        let start = if k > 0 && below(attached, 3) > 0 {
            at(&before, 0.5 * f64::from(below(place[0], 3)))
        } else {
            place.map(|word| 0.6 * f64::from(unit(word)))
        };
        before = curve_from(start, words(base + 2), bends[0]);
        curves.push((5 * k, before));
        if below(two, 2) > 0 {
            curves.push((5 * k + 2, curve_from(before[2], words(base + 4), bends[1])));
        }
    }
    fit(&mut curves, 0.55 + 0.2 * f64::from(unit(room)));
    curves
}

/// From `start` in a random direction, bent to either side.
fn curve_from(start: Point, [direction, length]: [u32; 2], bend: u32) -> Curve {
    let (sine, cosine) = (std::f64::consts::TAU * f64::from(unit(direction))).sin_cos();
    let length = 0.25 + 0.5 * f64::from(unit(length));
    let bend = 2.0 * f64::from(unit(bend)) - 1.0;
    let along = [length * cosine, length * sine];
    let side = [-along[1], along[0]].map(|across| bend * bend.abs() * across);
    let middle = [0, 1].map(|axis| start[axis] + 0.5 * along[axis] + side[axis]);
    [start, middle, [0, 1].map(|axis| start[axis] + along[axis])]
}

/// Moves the middle of the box of all curves (their ends and middles) to zero and stretches each of
/// its sides to `room`; one that is shorter than 0.6 of the other counts as 0.6 of it.
fn fit(curves: &mut [(u32, Curve)], room: f64) {
    let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
    for (_, curve) in curves.iter() {
        for point in [curve[0], at(curve, 0.5), curve[2]] {
            for axis in [0, 1] {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
    }
    let longest = (high[0] - low[0]).max(high[1] - low[1]);
    for point in curves.iter_mut().flat_map(|(_, curve)| curve) {
        for axis in [0, 1] {
            let factor = room / (high[axis] - low[axis]).max(0.6 * longest);
            point[axis] = factor * (point[axis] - 0.5 * (low[axis] + high[axis]));
        }
    }
}

fn at([a, b, c]: &Curve, t: f64) -> Point {
    let s = 1.0 - t;
    [0, 1].map(|axis| s * s * a[axis] + 2.0 * s * t * b[axis] + t * t * c[axis])
}

/// Strokes of `width` pixels along `segments` (start and end in pixels).
fn draw(segments: &[[Point; 2]], width: f64, size: usize) -> Vec<f64> {
    let pixel = |index: usize| {
        let place = [(index % size) as f64 + 0.5, (index / size) as f64 + 0.5];
        let gaps = segments.iter().map(|segment| gap(place, *segment));
        let least = gaps.fold(f64::INFINITY, f64::min);
        ((least - 0.5 * width) / EDGE + 0.5).clamp(0.0, 1.0)
    };
    (0..size * size).map(pixel).collect()
}

/// The distance of a point from a line segment.
fn gap(place: Point, [start, end]: [Point; 2]) -> f64 {
    let along = [end[0] - start[0], end[1] - start[1]];
    let from_start = [place[0] - start[0], place[1] - start[1]];
    let squared = along[0] * along[0] + along[1] * along[1];
    let share = (from_start[0] * along[0] + from_start[1] * along[1]) / squared.max(1e-12);
    let share = share.clamp(0.0, 1.0);
    (from_start[0] - share * along[0]).hypot(from_start[1] - share * along[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Phase;

    const FAMILY: GlyphFamily = GlyphFamily {
        jitter: 0.05,
        rotation: 0.2,
        scale: 0.2,
        shear: 0.2,
        shift: 0.1,
        width: [0.036, 0.054],
    };

    fn stream(task: u32) -> Stream {
        Stream::new(1, Phase::Train, 0, task)
    }

    #[test]
    fn a_line_is_as_wide_as_asked() {
        // From (1, 2.5) to (5, 2.5), two pixels wide: its edges are at 1.5 and 3.5.
        let image = draw(&[[[1.0, 2.5], [5.0, 2.5]]], 2.0, 6);
        let column: Vec<f64> = (0..6).map(|row| image[6 * row + 3]).collect();
        assert_eq!(column, [1.0, 0.5, 0.0, 0.5, 1.0, 1.0]);
        // The ends are round: its own row is ink from border to border, the next ones end before.
        assert_eq!(image[12..18], [0.0; 6]);
        let corner = (0.5_f64.hypot(1.0) - 1.0) / EDGE + 0.5;
        assert!([image[6], image[11]].iter().all(|pixel| (pixel - corner).abs() < 1e-12));
    }

    #[test]
    fn glyphs_have_the_ink_of_omniglot() {
        let mut ink = 0.0;
        let mut soft = 0;
        for task in 0..40 {
            for class in 0..5 {
                let image = glyph(&stream(task), &FAMILY, [class, 3], 28);
                assert!(image.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
                ink += image.iter().map(|pixel| 1.0 - pixel).sum::<f64>();
                soft += image.iter().filter(|pixel| **pixel > 0.0 && **pixel < 1.0).count();
            }
        }
        let pixels = 200.0 * 784.0;
        assert!((0.07..0.09).contains(&(ink / pixels)), "{}", ink / pixels);
        assert!((soft as f64) < 0.05 * pixels, "{soft} of {pixels} are neither ink nor paper");
    }

    #[test]
    fn examples_without_variation_are_the_same_and_classes_differ() {
        let still = GlyphFamily {
            jitter: 0.0,
            rotation: 0.0,
            scale: 0.0,
            shear: 0.0,
            shift: 0.0,
            ..FAMILY
        };
        let still = GlyphFamily { width: [0.05; 2], ..still };
        let image = |task, class, example| glyph(&stream(task), &still, [class, example], 28);
        assert_eq!(image(0, 2, 0), image(0, 2, 255));
        assert_ne!(image(0, 2, 0), image(0, 3, 0));
        assert_ne!(image(0, 2, 0), image(1, 2, 0));
        // The class's box is centred, so ink is about as far from each side.
        let rows: Vec<usize> =
            (0..784).filter(|i| image(0, 2, 0)[*i] < 0.5).map(|index| index / 28).collect();
        let [top, bottom] = [rows[0], 27 - rows[rows.len() - 1]];
        assert!(top.abs_diff(bottom) <= 2, "{top} {bottom}");
    }

    #[test]
    fn examples_are_nearer_to_their_class_than_chance() {
        let gap =
            |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
        let mut right = 0;
        for task in 0..100 {
            let image = |class, example| glyph(&stream(task), &FAMILY, [class, example], 28);
            let query = image(task % 5, 1);
            let gaps: Vec<f64> = (0..5).map(|class| gap(&image(class, 0), &query)).collect();
            let nearest = (0..5_u32).min_by(|a, b| gaps[*a as usize].total_cmp(&gaps[*b as usize]));
            right += u32::from(nearest == Some(task % 5));
        }
        // Pixels alone tell about 42 of 100 (37 of Omniglot's).
        assert!((30..60).contains(&right), "{right} of 100");
    }
}
