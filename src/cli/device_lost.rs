//! What becomes of a job whose device is lost: it ends, or opens the device again and goes on.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::Error;

/// The flag of the commands that can go on.
#[derive(Clone, Debug, Args)]
pub struct DeviceLost {
    /// What to do if the device is lost: stop, or open it again and go on from what was saved last.
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    on_device_lost: OnDeviceLost,
}

/// What is done where a device is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OnDeviceLost {
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

impl DeviceLost {
    /// Whether a lost device is opened again.
    pub fn retries(&self) -> bool {
        self.on_device_lost == OnDeviceLost::Retry
    }

    /// Does `attempt`, which is told whether it is to go on with what it began; again if it loses its device and the user
    /// wants that.
    pub fn survived<T>(&self, mut attempt: impl FnMut(bool) -> Result<T>) -> Result<T> {
        let (mut losses, mut again) = (0, false);
        loop {
            let began = Instant::now();
            let error = match attempt(again) {
                // Where a driver starts again, there is no device for a moment.
                Err(error) if is_lost(&error) || again && is_missing(&error) => error,
                result => return result,
            };
            if !self.retries() {
                return Err(error);
            }
            losses = if began.elapsed() < LASTING { losses + 1 } else { 1 };
            if losses > MOST {
                return Err(error.context(format!("the device was lost {losses} times in a row")));
            }
            note!("{}", in_one_line(&error));
            note!("going on from the last checkpoint");
            std::thread::sleep(PAUSE * 2_u32.pow(losses));
            again = true;
        }
    }
}

/// What drivers say of a lost device has several lines.
pub fn in_one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ").replace(" ;", ";")
}

/// Whether the device is gone.
pub fn is_lost(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::DeviceLost(_))))
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::Adapter(_))))
}
