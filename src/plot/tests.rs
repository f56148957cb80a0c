//! Tests of both pictures: what is in the file, and what is refused.

use super::*;

/// A task with a sine, a flat start and a close fit.
fn curve(amplitude: f32, phase: f32) -> SineCurve {
    let x: Vec<f32> = (0..50).map(|i| -5.0 + 10.0 * i as f32 / 49.0).collect();
    let sine = |scale: f32| x.iter().map(|x| scale * (x + phase).sin()).collect::<Vec<f32>>();
    let support = (0..10).map(|i| (x[i * 5], amplitude * (x[i * 5] + phase).sin())).collect();
    SineCurve {
        truth: sine(amplitude),
        before: sine(0.2),
        after: sine(0.95 * amplitude),
        support,
        title: format!("A < {amplitude} & more"),
        x,
    }
}

/// Draws with `paint` and returns the file's text.
fn drawn(paint: impl FnOnce(&Path) -> Result<()>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("figure.svg");
    paint(&path).unwrap();
    std::fs::read_to_string(path).unwrap()
}

/// The drawn lines that have the colour, the legend's first.
fn lines_of(svg: &str, RGBColor(red, green, blue): RGBColor) -> Vec<&str> {
    let stroke = format!("stroke=\"#{red:02X}{green:02X}{blue:02X}\"");
    svg.lines().filter(|l| l.starts_with("<polyline") && l.contains(&stroke)).collect()
}

/// Every element is closed, in order, and no stray `<` or `&` is left in a text.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    for piece in svg.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("every < has its >");
        for reference in text.split('&').skip(1) {
            assert!(
                ["lt;", "gt;", "amp;", "quot;", "apos;"].iter().any(|r| reference.starts_with(r))
            );
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    assert!(svg.starts_with("<svg ") && svg.contains("xmlns=\"http://www.w3.org/2000/svg\""));
}

#[test]
fn a_panel_has_three_lines_and_its_support_points() {
    let curves = [curve(1.0, 0.0), curve(4.0, 1.0), curve(2.5, 2.0), curve(0.5, 3.0)];
    let svg = drawn(|path| sine_adaptation(path, &curves));
    assert_well_formed(&svg);
    for colour in [TRUTH, BEFORE, AFTER] {
        assert_eq!(lines_of(&svg, colour).len(), 5, "one a panel and one in the legend");
    }
    assert_eq!(svg.matches("<circle").count(), 41);
    for label in ["true function", "support points", "before adaptation", "A &lt; 2.5 &amp; more"] {
        assert!(svg.contains(label), "{label} is missing");
    }
    assert!(svg.contains("width=\"1020\"") && svg.contains("viewBox=\"0 0 4080"));
}

#[test]
fn a_long_series_is_drawn_with_its_median_and_a_short_one_alone() {
    let wave = |n: usize| (0..n).map(|i| (i as f64, 2.0 + (i as f64).sin())).collect();
    let series = [
        Series { label: "seed 0".into(), points: wave(500) },
        Series { label: "seed 1".into(), points: wave(20) },
    ];
    for log_y in [false, true] {
        let svg = drawn(|path| {
            learning_curves(path, "The title", ["meta-iteration", "the loss"], &series, log_y)
        });
        assert_well_formed(&svg);
        assert_eq!(lines_of(&svg, PALETTE[0]).len(), 3, "values, median, legend");
        assert_eq!(lines_of(&svg, PALETTE[1]).len(), 2, "values, legend");
        for label in ["The title", "the loss", "meta-iteration", "seed 0", "seed 1"] {
            assert!(svg.contains(label), "{label} is missing");
        }
    }
}

#[test]
fn values_that_cannot_be_drawn_are_left_out() {
    let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 0.0), (3.0, f64::INFINITY), (4.0, 0.1)];
    let series = [Series { label: "run".into(), points }];
    let count = |log_y| {
        let svg = drawn(|path| learning_curves(path, "", ["x", "loss"], &series, log_y));
        let points = lines_of(&svg, PALETTE[0])[1].split("points=").nth(1).unwrap().to_owned();
        points.matches(',').count()
    };
    assert_eq!(count(false), 3);
    assert_eq!(count(true), 2, "zero has no logarithm");
}

#[test]
fn other_formats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["figure.png", "figure"] {
        let path = folder.path().join(name);
        let error = sine_adaptation(&path, &[curve(1.0, 0.0)]).unwrap_err();
        assert!(matches!(&error, Error::Config { key, .. } if key == "picture"));
        assert!(error.to_string().contains(name) && error.to_string().contains(".svg"));
        assert!(!path.exists());
    }
}

#[test]
fn a_path_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("figure.svg");
    let series = [Series { label: "run".into(), points: vec![(0.0, 1.0)] }];
    let error = learning_curves(&path, "", ["", ""], &series, false).unwrap_err();
    assert!(matches!(&error, Error::Io { path: named, .. } if *named == path));
}

#[test]
fn nothing_to_draw_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("figure.svg");
    let negative = [Series { label: "run".into(), points: vec![(0.0, -1.0)] }];
    for result in
        [sine_adaptation(&path, &[]), learning_curves(&path, "", ["", ""], &negative, true)]
    {
        assert!(matches!(result.unwrap_err(), Error::Data { .. }));
    }
    assert!(!path.exists());
}
