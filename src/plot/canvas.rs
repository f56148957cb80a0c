//! The sheet that pictures are drawn on: file, style, legend and axes.

use std::io;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::axis::Axis;
use crate::error::{Error, Result};

/// plotters rounds coordinates to whole units: this many a pixel keep curves smooth.
const SCALE: i32 = 4;

/// Height of one line of the legend, in pixels.
const LEGEND_LINE: i32 = 22;

pub(super) const INK: RGBColor = RGBColor(0x24, 0x29, 0x2F);
pub(super) const FAINT: RGBColor = RGBColor(0x6E, 0x77, 0x81);
pub(super) const GRID: RGBColor = RGBColor(0xE6, 0xE8, 0xEB);

/// Colours of series, in order: those of Okabe and Ito, which colour-blind readers can tell apart,
/// without the yellow that fades on white; then two more.
pub(super) const PALETTE: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x4D, 0x4D, 0x4D),
    RGBColor(0x6A, 0x3D, 0x9A),
];

/// A part of the sheet.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart with its axes drawn.
pub(super) type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// Result of a drawing call.
pub(super) type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<io::Error>>;

/// Pixels in drawing units.
pub(super) const fn px(pixels: i32) -> i32 {
    pixels * SCALE
}

/// The style of a line `pixels` wide.
pub(super) fn stroke(colour: impl Color, pixels: i32) -> ShapeStyle {
    colour.stroke_width(px(pixels) as u32)
}

/// Text `pixels` high.
pub(super) fn text(pixels: i32, colour: RGBColor) -> TextStyle<'static> {
    // plotters divides the size by 1.24 for SVG.
    ("sans-serif", f64::from(px(pixels)) * 1.24).into_font().color(&colour)
}

/// Writes what `paint` draws on a white sheet of `size` pixels to `path`. Nothing is written if
/// the drawing fails.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub(super) fn save(
    path: &Path,
    size: (i32, i32),
    paint: impl FnOnce(&Area) -> Drawn,
) -> Result<()> {
    let units = (px(size.0) as u32, px(size.1) as u32);
    let mut svg = String::new();
    let sheet = SVGBackend::with_string(&mut svg, units).into_drawing_area();
    sheet
        .fill(&WHITE)
        .and_then(|()| paint(&sheet))
        .and_then(|()| sheet.present())
        .map_err(io::Error::other)
        .map_err(Error::io(path))?;
    drop(sheet);
    let in_units = format!(r#"width="{}" height="{}""#, units.0, units.1);
    let in_pixels = format!(r#"width="{}" height="{}""#, size.0, size.1);
    std::fs::write(path, svg.replacen(&in_units, &in_pixels, 1)).map_err(Error::io(path))
}

/// What stands before a label in the legend.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    /// A line this many pixels wide.
    Line(i32),
    Dot,
    Nothing,
}

/// A label of the legend.
pub(super) struct Entry {
    pub label: String,
    pub mark: Mark,
    pub colour: RGBColor,
}

impl Entry {
    pub fn new(label: impl Into<String>, mark: Mark, colour: RGBColor) -> Self {
        Self { label: label.into(), mark, colour }
    }

    /// Width with the gap to the next one, in pixels; there is no font to measure with.
    fn width(&self) -> i32 {
        7 * self.label.chars().count() as i32 + 48
    }
}

/// Entries with their places, filled line by line.
pub(super) struct Legend {
    places: Vec<(Entry, i32, i32)>,
    /// Height of all lines, in pixels.
    pub height: i32,
}

impl Legend {
    /// Places `entries` on a sheet `width` pixels wide.
    pub fn new(entries: Vec<Entry>, width: i32) -> Self {
        const LEFT: i32 = 16;
        let (mut x, mut y) = (LEFT, LEGEND_LINE / 2);
        let mut places = Vec::with_capacity(entries.len());
        for entry in entries {
            if x > LEFT && x + entry.width() > width {
                (x, y) = (LEFT, y + LEGEND_LINE);
            }
            let next = x + entry.width();
            places.push((entry, x, y));
            x = next;
        }
        Self { places, height: y + LEGEND_LINE / 2 }
    }

    /// Draws it at the top of `area`.
    pub fn draw(&self, area: &Area) -> Drawn {
        for (Entry { label, mark, colour }, x, y) in &self.places {
            let (x, y) = (px(*x), px(*y));
            let (mut label_at, mut label_colour) = (x + px(26), INK);
            match mark {
                Mark::Line(width) => {
                    let ends = vec![(x, y), (x + px(20), y)];
                    area.draw(&PathElement::new(ends, stroke(*colour, *width)))?;
                }
                Mark::Dot => area.draw(&dot((x + px(10), y), *colour))?,
                Mark::Nothing => (label_at, label_colour) = (x, *colour),
            }
            area.draw_text(label, &text(12, label_colour), (label_at, y - px(6)))?;
        }
        Ok(())
    }
}

/// A point of data at `place`.
pub(super) fn dot<C>(place: C, colour: RGBColor) -> Circle<C, i32> {
    Circle::new(place, px(3), colour.filled())
}

/// Draws the axes of a chart that fills `area`.
pub(super) fn chart<'a, 'b>(
    area: &'b Area<'a>,
    (x, x_label): (&Axis, &str),
    (y, y_label): (&Axis, &str),
) -> Drawn<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .margin(px(8))
        .margin_right(px(20))
        .x_label_area_size(px(40))
        .y_label_area_size(px(58))
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(stroke(GRID, 1))
        .axis_style(stroke(FAINT, 1))
        .set_all_tick_mark_size(px(4))
        .label_style(text(11, FAINT))
        .axis_desc_style(text(12, INK))
        .x_desc(x_label)
        .y_desc(y_label)
        .draw()?;
    Ok(chart)
}
