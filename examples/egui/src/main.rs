//! A curve through points that one clicks, in a window of egui: the engine shares eframe's device, meta-trains inside a part of
//! each frame, and the curve is drawn from its own output buffer.
//!
//! `cargo run --release -p reptile-egui [-- --seconds N] [--report FILE]`; N seconds after it says `ready`, and where in the window
//! the plot is, it closes; the report has the frames a second, the points and the curve.

mod curve;
mod learner;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui::{self, Color32, Pos2, Rect, Sense, Stroke, Vec2};
use eframe::egui_wgpu::{self, WgpuSetup};
use reptile::gpu::{Gpu, GpuOptions};

use crate::curve::Curve;
use crate::learner::Learner;

/// Side of the square that is shown, from its middle.
const HALF: f32 = 5.5;
/// How near to a point a click means it, in points of the screen.
const NEAR: f32 = 12.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut seconds, mut report) = (None, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word}: give a value"))?;
        match word.as_str() {
            "--seconds" => seconds = Some(Duration::try_from_secs_f64(value.parse()?)?),
            "--report" => report = Some(PathBuf::from(value)),
            _ => {
                return Err(
                    format!("{word} is not known; give --seconds N or --report FILE").into()
                );
            }
        }
    }
    let mut options = eframe::NativeOptions {
        renderer: eframe::Renderer::Wgpu,
        viewport: egui::ViewportBuilder::default().with_inner_size([720.0, 560.0]),
        ..Default::default()
    };
    // All that the engine's kernels can use; egui itself needs less.
    if let WgpuSetup::CreateNew(setup) = &mut options.wgpu_options.wgpu_setup {
        setup.device_descriptor = Arc::new(Gpu::device_descriptor);
    }
    let make = move |creation: &eframe::CreationContext<'_>| {
        let state = creation.wgpu_render_state.as_ref().ok_or("eframe has no wgpu here")?;
        Ok(Box::new(Demo::new(state, seconds, report)?) as Box<dyn eframe::App>)
    };
    eframe::run_native("Reptile", options, Box::new(make))?;
    Ok(())
}

/// The window's contents.
struct Demo {
    learner: Learner,
    curve: Curve,
    /// `[x, y]`, from -5 to 5.
    points: Vec<[f32; 2]>,
    dragged: Option<usize>,
    trains: bool,
    milliseconds: u64,
    /// Frames since the network is ready, and when that was.
    frames: u32,
    since: Option<Instant>,
    seconds: Option<Duration>,
    report: Option<PathBuf>,
    /// What ended it.
    error: Option<String>,
}

impl Demo {
    fn new(
        state: &egui_wgpu::RenderState,
        seconds: Option<Duration>,
        report: Option<PathBuf>,
    ) -> reptile::Result<Self> {
        let gpu =
            Gpu::from_existing(state.device.clone(), state.queue.clone(), GpuOptions::default());
        Ok(Self {
            learner: Learner::new(gpu)?,
            curve: Curve::new(&state.device, state.target_format),
            points: Vec::new(),
            dragged: None,
            trains: true,
            milliseconds: 6,
            frames: 0,
            since: None,
            seconds,
            report,
            error: None,
        })
    }

    /// Keeps what ended it, for every frame from now on; whoever waits for a report waits in vain.
    fn stop(&mut self, error: String) {
        if self.report.is_some() {
            eprintln!("error: {error}");
            std::process::exit(1);
        }
        self.error = Some(error);
    }

    /// The points and what may be done to them.
    fn plot(&mut self, ui: &mut egui::Ui) -> reptile::Result<()> {
        let (response, painter) = ui.allocate_painter(ui.available_size(), Sense::drag());
        let rect = response.rect;
        if self.frames > 0 && self.since.is_none() {
            self.since = Some(Instant::now());
            println!("ready {} {} {} {}", rect.left(), rect.top(), rect.width(), rect.height());
        }
        let to_screen = |[x, y]: [f32; 2]| {
            let share = Vec2::new((x + HALF) / (2.0 * HALF), (HALF - y) / (2.0 * HALF));
            rect.min + share * rect.size()
        };
        let from_screen = |at: Pos2| {
            let share = (at - rect.min) / rect.size();
            [share.x, 1.0 - share.y].map(|it| (2.0 * HALF * it - HALF).clamp(-5.0, 5.0))
        };
        let before = self.points.clone();
        let (pressed, taken, down) = ui.input(|input| {
            let pointer = &input.pointer;
            (pointer.primary_pressed(), pointer.secondary_pressed(), pointer.primary_down())
        });
        if let Some(at) = response.hover_pos() {
            let distance = |point: &[f32; 2]| to_screen(*point).distance(at);
            let all = self.points.iter().enumerate();
            let nearest = all.min_by(|one, other| distance(one.1).total_cmp(&distance(other.1)));
            let near = nearest.filter(|(_, it)| distance(it) < NEAR).map(|(number, _)| number);
            match near {
                Some(number) if taken => drop(self.points.remove(number)),
                Some(_) if pressed => self.dragged = near,
                None if pressed && self.points.len() < learner::MOST => {
                    self.dragged = Some(self.points.len());
                    self.points.push(from_screen(at));
                }
                _ => {}
            }
            if let Some(point) = self.dragged.and_then(|it| self.points.get_mut(it)) {
                *point = from_screen(at);
            }
        }
        if !down {
            self.dragged = None;
        }
        if self.points != before {
            self.learner.set_points(&self.points)?;
        }
        let line = Stroke::new(1.0, ui.visuals().weak_text_color());
        painter.line_segment([[-HALF, 0.0], [HALF, 0.0]].map(to_screen), line);
        painter.line_segment([[0.0, -HALF], [0.0, HALF]].map(to_screen), line);
        if let Some(outputs) = self.learner.outputs().filter(|_| !self.points.is_empty()) {
            let shown = Rect::from_two_pos(to_screen([-5.0, HALF]), to_screen([5.0, -HALF]));
            painter.add(self.curve.callback(shown, outputs));
        }
        for point in &self.points {
            painter.circle_filled(to_screen(*point), 5.0, Color32::from_rgb(230, 120, 60));
        }
        Ok(())
    }

    /// Writes what there is to say at the end.
    fn finish(&self) -> Result<(), Box<dyn std::error::Error>> {
        let Some(path) = &self.report else { return Ok(()) };
        let seconds = self.since.map_or(f64::NAN, |since| since.elapsed().as_secs_f64());
        let mut text = format!(
            "iterations {}\nframes_per_second {:.1}\n",
            self.learner.iteration(),
            f64::from(self.frames) / seconds
        );
        for [x, y] in &self.points {
            text.push_str(&format!("point {x} {y}\n"));
        }
        for [x, y] in self.learner.curve()? {
            text.push_str(&format!("curve {x} {y}\n"));
        }
        Ok(std::fs::write(path, text)?)
    }
}

impl eframe::App for Demo {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        ui.ctx().request_repaint();
        if let Some(error) = &self.error {
            ui.label(format!("The engine stopped: {error}"));
            return;
        }
        match self.learner.frame(self.trains, Duration::from_millis(self.milliseconds)) {
            Ok(ready) => self.frames += u32::from(ready),
            Err(error) => self.stop(error.to_string()),
        }
        ui.horizontal_wrapped(|ui| {
            ui.heading("Reptile");
            ui.checkbox(&mut self.trains, "meta-train");
            ui.add(egui::Slider::new(&mut self.milliseconds, 1..=12).text("ms a frame"));
            if ui.button("No points").clicked() {
                self.points.clear();
            }
            match self.learner.preparing() {
                Some((done, all)) => ui.label(format!("{done} of {all} kernels")),
                None => ui.label(format!("{} meta-iterations", self.learner.iteration())),
            };
        });
        ui.label(
            "Click sets a point (ten at most), drag moves it, the other button takes it away.",
        );
        if let Err(error) = self.plot(ui) {
            self.stop(error.to_string());
        }
        let over = |limit: Duration| self.since.is_some_and(|since| since.elapsed() > limit);
        if self.seconds.is_some_and(over) {
            self.seconds = None;
            if let Err(error) = self.finish() {
                eprintln!("error: {error}");
            }
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        }
    }
}
