//! Bounds of single numbers that users give, in files and in setups.

use crate::error::{Error, Result};

/// Refuses what is not a finite number above 0; `key` names it.
pub(crate) fn positive(key: &str, value: f32) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::config(key, format!("{value} is not possible; give a number above 0")))
}

/// Refuses what is not a number from 0 to below 1.
pub(crate) fn below_one(key: &str, value: f32) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::config(key, format!("{value} is not possible; give a number from 0 to below 1")))
}

/// Refuses two ends that are not finite, or in the wrong order.
pub(crate) fn ordered(key: &str, [low, high]: [f32; 2]) -> Result<()> {
    if low.is_finite() && high.is_finite() && low <= high {
        return Ok(());
    }
    Err(Error::config(key, format!("[{low}, {high}] is not a range; give the lower number first")))
}
