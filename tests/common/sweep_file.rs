//! A sweep's file.

use std::path::Path;

/// A base of which meta-iterations take no time.
pub const BASE: &str = r#"preset = "sine"
set = ["iterations=12", "model.layers.0.units=8", "model.layers.1.units=8", "outer.meta_batch=2",
       "eval.validation_tasks=5", "eval.steps=3", "inner.steps=2", "log.checkpoint_every=4"]
"#;

/// Writes a sweep with `text` behind the base.
pub fn write(folder: &Path, text: &str) -> std::path::PathBuf {
    let path = folder.join("mine.toml");
    std::fs::write(&path, format!("{BASE}{text}")).unwrap();
    path
}
