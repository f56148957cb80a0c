//! Horizontal bars over a logarithmic axis: rates that span decades.

use std::path::Path;

use plotters::prelude::{Color, PathElement, Rectangle, Text};

use super::axis::Axis;
use super::canvas::{
    Drawn, Entry, FAINT, GRID, INK, Legend, Mark, PALETTE, px, save, stroke, text,
};
use super::{check_extension, extents};
use crate::error::Result;

/// Width of the sheet and of the labels, and heights of a bar and of what lies between groups, in
/// pixels.
const SHEET: i32 = 760;
const LABELS: i32 = 260;
const BAR: i32 = 16;
const GAP: i32 = 8;

/// Bars with one label.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Written to the left of the bars.
    pub label: String,
    /// One a series; not finite or not above zero: no bar.
    pub values: Vec<f64>,
}

/// Draws a bar for each of `series` in every group, from the smallest power of ten.
///
/// # Errors
/// As [`super::learning_curves`].
pub fn bars(
    path: &Path,
    title: &str,
    x_label: &str,
    series: &[String],
    groups: &[Group],
) -> Result<()> {
    check_extension("picture", path)?;
    let drawn = |value: &&f64| value.is_finite() && **value > 0.0;
    let all: Vec<(f64, f64)> = groups
        .iter()
        .flat_map(|group| group.values.iter().filter(drawn))
        .map(|value| (value.log10(), 0.0))
        .collect();
    let (extent, _) = extents(path, &all)?;
    let axis = Axis::log(extent.start.floor() - 0.01..extent.end + 0.08, 0.0);
    let entries = series.iter().zip(PALETTE.iter().cycle());
    let entries = entries.map(|(name, colour)| Entry::new(name, Mark::Line(8), *colour)).collect();
    let legend = Legend::new(entries, SHEET);
    let header = 36 + if series.len() > 1 { legend.height } else { 0 };
    let height = |group: &Group| GAP + BAR * group.values.len() as i32;
    let body: i32 = groups.iter().map(height).sum();
    let ends = (px(LABELS), px(SHEET - 70));
    save(path, (SHEET, header + body + 52), |sheet| -> Drawn {
        sheet.draw_text(title, &text(16, INK), (px(16), px(12)))?;
        if series.len() > 1 {
            legend.draw(&sheet.margin(px(36), 0, 0, 0))?;
        }
        let (top, bottom) = (px(header), px(header + body + GAP));
        for (place, label) in axis.places(ends) {
            let line = PathElement::new(vec![(place, top), (place, bottom)], stroke(GRID, 1));
            sheet.draw(&line)?;
            sheet.draw_text(&label, &text(11, FAINT), (place - px(8), bottom + px(6)))?;
        }
        sheet.draw_text(x_label, &text(12, INK), (px(LABELS), bottom + px(24)))?;
        let mut y = header + GAP;
        for group in groups {
            let middle = y + BAR * group.values.len() as i32 / 2 - 6;
            sheet.draw(&Text::new(group.label.clone(), (px(16), px(middle)), text(12, INK)))?;
            for (value, colour) in group.values.iter().zip(PALETTE.iter().cycle()) {
                if drawn(&value) {
                    let end = axis.place(value.log10(), ends);
                    let corners = [(ends.0, px(y + 2)), (end, px(y + BAR - 2))];
                    sheet.draw(&Rectangle::new(corners, colour.filled()))?;
                    let number = Axis::label(*value);
                    sheet.draw_text(&number, &text(11, FAINT), (end + px(4), px(y + 2)))?;
                }
                y += BAR;
            }
            y += GAP;
        }
        Ok(())
    })
}
