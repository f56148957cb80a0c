//! Pictures of runs and benchmarks as SVG files: plain numbers in, one file out.
//!
//! The ground is white, so that a page with a dark background shows the same picture.

mod axis;
mod bars;
mod canvas;
mod series;

pub use bars::{Group, bars};

use std::ops::Range;
use std::path::Path;

use plotters::prelude::{Color, LineSeries, RGBColor};

use self::axis::Axis;
use self::canvas::{Area, Chart, Drawn, Entry, FAINT, INK, Legend, Mark, PALETTE};
use self::canvas::{chart, dot, px, save, stroke, text};
use self::series::{moving_median, thin, window};
use crate::error::{Error, Result};

/// The true function: wide and pale, so that a prediction on top of it stays visible.
const TRUTH: RGBColor = RGBColor(0xC3, 0xC9, 0xD1);
const BEFORE: RGBColor = PALETTE[1];
const AFTER: RGBColor = PALETTE[0];

/// One regression task before and after adaptation: a panel of [`sine_adaptation`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SineCurve {
    /// Where the three curves are evaluated, ascending: \[Q\].
    pub x: Vec<f32>,
    /// The task's own function at `x`: \[Q\].
    pub truth: Vec<f32>,
    /// What the initialisation predicts at `x`: \[Q\].
    pub before: Vec<f32>,
    /// What the adapted network predicts at `x`: \[Q\].
    pub after: Vec<f32>,
    /// The examples that it was adapted to, (x, y): \[N\].
    pub support: Vec<(f32, f32)>,
    /// Printed above the panel.
    pub title: String,
}

/// One line of [`learning_curves`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub label: String,
    /// (meta-iteration, value), iterations ascending.
    pub points: Vec<(f64, f64)>,
}

/// Draws a panel for each task, three in a row, all with the same axes: the true function, the
/// support points, and the predictions before and after adaptation.
///
/// # Errors
/// [`Error::Config`] if `path` does not end in `.svg`, [`Error::Data`] if there is nothing finite
/// to draw, [`Error::Io`] if the file cannot be written.
pub fn sine_adaptation(path: &Path, curves: &[SineCurve]) -> Result<()> {
    check_extension("picture", path)?;
    let everything: Vec<(f64, f64)> = curves
        .iter()
        .flat_map(|c| [line(&c.x, &c.truth), line(&c.x, &c.before), line(&c.x, &c.after), dots(c)])
        .flatten()
        .collect();
    let (x, y) = extents(path, &everything)?;
    let (x, y) = (Axis::linear(x, 0.03, 6), Axis::linear(y, 0.06, 6));
    let columns = curves.len().min(3);
    let rows = curves.len().div_ceil(columns);
    let entries = vec![
        Entry::new("true function", Mark::Line(6), TRUTH),
        Entry::new("support points", Mark::Dot, INK),
        Entry::new("before adaptation", Mark::Line(2), BEFORE),
        Entry::new("after adaptation", Mark::Line(2), AFTER),
    ];
    let width = 340 * columns.max(2) as i32;
    let legend = Legend::new(entries, width);
    let header = legend.height + 12;
    save(path, (width, header + 280 * rows as i32), |sheet| {
        let (top, panels) = sheet.split_vertically(px(header));
        legend.draw(&top.margin(px(12), 0, 0, 0))?;
        for (area, curve) in panels.split_evenly((rows, columns)).iter().zip(curves) {
            panel(area, &x, &y, curve)?;
        }
        Ok(())
    })
}

/// One task of [`sine_adaptation`].
fn panel(area: &Area, x: &Axis, y: &Axis, curve: &SineCurve) -> Drawn {
    let (heading, body) = area.split_vertically(px(30));
    heading.draw_text(&curve.title, &text(13, INK), (px(66), px(12)))?;
    let mut chart = chart(&body, (x, "x"), (y, "y"))?;
    let lines = [(&curve.truth, TRUTH, 6), (&curve.before, BEFORE, 2), (&curve.after, AFTER, 2)];
    for (values, colour, width) in lines {
        chart.draw_series(LineSeries::new(line(&curve.x, values), stroke(colour, width)))?;
    }
    chart.draw_series(dots(curve).into_iter().map(|place| dot(place, INK)))?;
    Ok(())
}

/// Draws values over meta-iterations (or tasks), one colour a series. A series of 120 points or more is drawn
/// pale, and its centred moving median over 1/40 of the points on top of it.
///
/// With `log_y` the value axis is logarithmic and values that are not above zero are left out;
/// values that are not finite always are.
///
/// # Errors
/// As [`sine_adaptation`].
pub fn learning_curves(
    path: &Path,
    title: &str,
    [x_label, y_label]: [&str; 2],
    series: &[Series],
    log_y: bool,
) -> Result<()> {
    check_extension("picture", path)?;
    let place = |&(x, y): &(f64, f64)| (x, if log_y { y.log10() } else { y });
    let lines: Vec<Vec<(f64, f64)>> =
        series.iter().map(|one| finite(one.points.iter().map(place))).collect();
    let (x, y) = extents(path, &lines.concat())?;
    let x = Axis::linear(x, 0.0, 8);
    let y = if log_y { Axis::log(y, 0.04) } else { Axis::linear(y, 0.04, 8) };
    let colours = || PALETTE.iter().copied().cycle();
    let named = series.iter().zip(colours());
    let mut entries: Vec<Entry> =
        named.map(|(one, colour)| Entry::new(&one.label, Mark::Line(2), colour)).collect();
    let is_long = |line: &Vec<_>| window(line.len()) > 1;
    if lines.iter().any(is_long) {
        let note = "(pale: every value; line: moving median)";
        entries.push(Entry::new(note, Mark::Nothing, FAINT));
    }
    one_chart(path, title, entries, (&x, x_label), (&y, y_label), |chart| {
        for (line, colour) in lines.iter().zip(colours()) {
            if is_long(line) {
                chart.draw_series(LineSeries::new(thin(line), stroke(colour.mix(0.25), 1)))?;
            }
        }
        for (line, colour) in lines.iter().zip(colours()) {
            let smooth = moving_median(line, window(line.len()));
            chart.draw_series(LineSeries::new(thin(&smooth), stroke(colour, 2)))?;
        }
        Ok(())
    })
}

/// Draws lines with their points over a logarithmic axis; the values' axis is logarithmic with `log_y`.
/// What is not above zero on such an axis is left out.
///
/// # Errors
/// As [`sine_adaptation`].
pub fn growth(
    path: &Path,
    title: &str,
    [x_label, y_label]: [&str; 2],
    series: &[Series],
    log_y: bool,
) -> Result<()> {
    check_extension("picture", path)?;
    let place = |&(x, y): &(f64, f64)| (x.log10(), if log_y { y.log10() } else { y });
    let lines: Vec<Vec<(f64, f64)>> =
        series.iter().map(|one| finite(one.points.iter().map(place))).collect();
    let (x, y) = extents(path, &lines.concat())?;
    let x = Axis::log(x, 0.03);
    let y = if log_y { Axis::log(y, 0.06) } else { Axis::linear(y, 0.06, 8) };
    let colours = || PALETTE.iter().copied().cycle();
    let named = series.iter().zip(colours());
    let entries =
        named.map(|(one, colour)| Entry::new(&one.label, Mark::Line(2), colour)).collect();
    one_chart(path, title, entries, (&x, x_label), (&y, y_label), |chart| {
        for (line, colour) in lines.iter().zip(colours()) {
            chart.draw_series(LineSeries::new(line.clone(), stroke(colour, 2)))?;
            chart.draw_series(line.iter().map(|place| dot(*place, colour)))?;
        }
        Ok(())
    })
}

/// A sheet with a title, a legend and one chart, into which `paint` draws.
fn one_chart(
    path: &Path,
    title: &str,
    entries: Vec<Entry>,
    x: (&Axis, &str),
    y: (&Axis, &str),
    paint: impl FnOnce(&mut Chart<'_, '_>) -> Drawn,
) -> Result<()> {
    let size = (760, 440);
    let legend = Legend::new(entries, size.0);
    save(path, (size.0, size.1 + legend.height), |sheet| {
        let (heading, rest) = sheet.split_vertically(px(36));
        heading.draw_text(title, &text(16, INK), (px(16), px(12)))?;
        let (top, body) = rest.split_vertically(px(legend.height));
        legend.draw(&top)?;
        paint(&mut chart(&body, x, y)?)
    })
}

/// Only SVG files are drawn; `flag` is the one that names the file.
///
/// # Errors
/// [`Error::Config`].
pub fn check_extension(flag: &str, path: &Path) -> Result<()> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) {
        return Ok(());
    }
    let name = path.display();
    Err(Error::config(flag, format!("pictures are SVG files: `{name}` must end in .svg")))
}

/// The smallest ranges of x and y that hold all `points`.
fn extents(path: &Path, points: &[(f64, f64)]) -> Result<(Range<f64>, Range<f64>)> {
    if points.is_empty() {
        return Err(Error::data(path, "nothing to draw: there is no finite value"));
    }
    let extent = |values: &mut dyn Iterator<Item = f64>| {
        values.fold(f64::INFINITY..f64::NEG_INFINITY, |all, v| all.start.min(v)..all.end.max(v))
    };
    Ok((extent(&mut points.iter().map(|p| p.0)), extent(&mut points.iter().map(|p| p.1))))
}

/// The points that can be drawn.
fn finite(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    points.filter(|point| point.0.is_finite() && point.1.is_finite()).collect()
}

fn line(x: &[f32], y: &[f32]) -> Vec<(f64, f64)> {
    finite(x.iter().zip(y).map(|(x, y)| (f64::from(*x), f64::from(*y))))
}

fn dots(curve: &SineCurve) -> Vec<(f64, f64)> {
    finite(curve.support.iter().map(|&(x, y)| (f64::from(x), f64::from(y))))
}

#[cfg(test)]
mod tests;
