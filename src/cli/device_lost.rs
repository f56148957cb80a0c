//! What becomes of a job whose device is lost: it ends, or opens the device again and goes on.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::Error;

/// What is done where a device is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnDeviceLost {
    /// The job ends with an error that says how to go on.
    #[default]
    Stop,
    /// The device is opened again, and the job goes on from its last checkpoint.
    Retry,
}

/// Losses, each sooner than [`LASTING`], after which a device is given up.
const MOST: u32 = 5;
const LASTING: Duration = Duration::from_secs(60);
/// What a driver gets to start again: twice as long after each loss.
const PAUSE: Duration = Duration::from_millis(250);

/// Does `attempt`, which is told whether it is to go on with what it began; again if it loses its device, as `policy` says.
pub fn with_device<T>(
    policy: OnDeviceLost,
    mut attempt: impl FnMut(bool) -> Result<T>,
) -> Result<T> {
    let mut losses = 0;
    let mut again = false;
    loop {
        let began = Instant::now();
        match attempt(again) {
            // Where a driver starts again, there is no device for a moment.
            Err(error)
                if policy == OnDeviceLost::Retry
                    && (is_lost(&error) || again && is_missing(&error)) =>
            {
                losses = if began.elapsed() < LASTING { losses + 1 } else { 1 };
                if losses > MOST {
                    return Err(
                        error.context(format!("the device was lost {losses} times in a row"))
                    );
                }
                note!("{error:#}");
                note!("going on from the last checkpoint");
                std::thread::sleep(PAUSE * 2_u32.pow(losses));
                again = true;
            }
            result => return result,
        }
    }
}

/// Whether the device is gone.
pub fn is_lost(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::DeviceLost(_))))
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::Adapter(_))))
}
