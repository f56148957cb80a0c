//! What every setup is checked for before anything is made: no number that a kernel divides by is zero, and no product
//! of sizes overflows.

pub(super) use crate::checks::{below_one, ordered, positive};
use crate::error::{Error, Result};
use crate::tasks::Batches;

/// The most numbers of one kind that a setup may name: what a device counts in 32 bits.
const MOST: usize = u32::MAX as usize;

/// The most numbers of one buffer: far more than any device has room for, and few enough that bytes and sums of them
/// do not overflow.
const LARGEST: u128 = if usize::BITS < 64 { usize::MAX as u128 } else { 1 << 48 };

/// Refuses 0, and what is more than a device counts; `key` names the number.
pub(super) fn count(key: &str, value: usize) -> Result<()> {
    match value {
        0 => Err(Error::config(key, "is 0; give 1 or more")),
        1..=MOST => Ok(()),
        _ => Err(too_many(key, value as u128)),
    }
}

/// Refuses a product that a device does not count in 32 bits; `what` names it.
pub(super) fn counted(what: &str, factors: &[usize]) -> Result<()> {
    let product = product(factors);
    if product <= MOST as u128 { Ok(()) } else { Err(too_many(what, product)) }
}

/// Refuses a buffer of so many numbers that its bytes could not be counted; `what` names it.
pub(super) fn allocatable(what: &str, factors: &[usize]) -> Result<()> {
    let product = product(factors);
    if product <= LARGEST {
        return Ok(());
    }
    Err(Error::Limit {
        unit: "bytes",
        what: what.into(),
        needed: u64::try_from(product.saturating_mul(4)).unwrap_or(u64::MAX),
        available: (LARGEST * 4) as u64,
        remedy: "lower the tasks, the examples of a task, or the layers' sizes".into(),
    })
}

fn product(factors: &[usize]) -> u128 {
    factors.iter().fold(1, |product: u128, factor| product.saturating_mul(*factor as u128))
}

fn too_many(what: &str, count: u128) -> Error {
    let message = format!("is {count}; the device counts up to {MOST}, give fewer");
    Error::config(what, message)
}

/// Refuses minibatches that cannot be cut from a task.
///
/// # Errors
/// [`Error::Config`] that names the field.
pub(super) fn batches(batches: &Batches) -> Result<()> {
    let Batches { way, group, tail, steps, batch, replacement } = *batches;
    for (key, value) in [
        ("batches.way", way),
        ("batches.group", group),
        ("batches.steps", steps),
        ("batches.batch", batch),
    ] {
        count(key, value)?;
    }
    counted("way × group, the support examples of a task,", &[way, group])?;
    if tail >= group {
        let message = format!("{tail} of the {group} examples of a class; leave some to train on");
        return Err(Error::config("batches.tail", message));
    }
    let pool = batches.pool();
    if replacement && batch > pool {
        let message = format!(
            "{batch} examples cannot be drawn without repeats from the {pool} of a task; lower it or set \
             replacement = false"
        );
        return Err(Error::config("batches.batch", message));
    }
    counted("steps × batch, the length of a task's minibatches,", &[steps, batch])?;
    counted("the length of a task's minibatches", &[1, batches.order_len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FITS: Batches =
        Batches { way: 2, group: 5, tail: 1, steps: 3, batch: 8, replacement: true };

    #[test]
    fn impossible_minibatches_are_named() {
        assert!(batches(&FITS).is_ok());
        for (wrong, part) in [
            (Batches { way: 0, ..FITS }, "batches.way"),
            (Batches { group: 0, ..FITS }, "batches.group"),
            (Batches { steps: 0, ..FITS }, "batches.steps"),
            (Batches { batch: 0, ..FITS }, "batches.batch"),
            (Batches { tail: 5, ..FITS }, "batches.tail"),
            (Batches { tail: 9, ..FITS }, "batches.tail"),
            (Batches { batch: 9, ..FITS }, "from the 8 of a task"),
            (Batches { way: usize::MAX, ..FITS }, "batches.way"),
            (Batches { way: MOST, ..FITS }, "way × group"),
            (Batches { steps: MOST, ..FITS }, "steps × batch"),
        ] {
            let text = batches(&wrong).unwrap_err().to_string();
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn products_do_not_overflow() {
        assert!(counted("x", &[1 << 16, (1 << 16) - 1]).is_ok());
        assert!(counted("x", &[1 << 16, 1 << 16]).is_err());
        assert!(allocatable("x", &[usize::MAX; 9]).is_err());
        assert!(allocatable("x", &[1 << 20, 1 << 8]).is_ok());
    }
}
