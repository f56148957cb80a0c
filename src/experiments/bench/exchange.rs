//! What an exchange between ranks costs here, and what follows for many of them.

use std::time::{Duration, Instant};

use crate::cluster::{Clock, Exchange, Network, Ranks};
use crate::error::Result;
use crate::experiments::bench::markdown::{head, line, number, percent};

/// Parameters of the networks that are measured.
const SIZES: [usize; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
/// How often each, of which the median counts: at most, …
const TIMES: usize = 21;
/// … and as often as this time allows, but three times.
const LONGEST: Duration = Duration::from_secs(1);
const FEWEST: usize = 3;
/// Numbers of ranks that are calculated.
const MANY: [usize; 6] = [2, 4, 16, 64, 256, 1024];
/// Rounds that a calculated clock runs.
const ROUNDS: usize = 300;

/// The time of an exchange.
#[derive(Clone, Copy, Debug)]
struct Measured {
    parameters: usize,
    exchange: Exchange,
    /// That a rank would send if there were very many: twice the message.
    bytes: f64,
    seconds: f64,
}

/// Bytes of so many numbers.
fn bytes(exchange: Exchange, parameters: usize) -> f64 {
    let each = match exchange {
        Exchange::F32 => 4.0,
        Exchange::F16 => 2.0,
        Exchange::Int8 => 1.0 + 4.0 / 256.0,
    };
    each * parameters as f64
}

/// Measures exchanges between `ranks` and calculates what follows for a network of `parameters` whose meta-iteration takes a rank
/// `step` seconds: two tables in Markdown.
///
/// # Errors
/// [`crate::Error::Ranks`] if another rank does not answer.
pub fn exchange(ranks: &Ranks, parameters: usize, step: f64) -> Result<String> {
    let mut all = Vec::new();
    for size in SIZES {
        for exchange in [Exchange::F32, Exchange::F16, Exchange::Int8] {
            let seconds = time(ranks, size, exchange)?;
            let bytes = bytes(exchange, size);
            all.push(Measured { parameters: size, exchange, bytes, seconds });
        }
    }
    let plain = all.iter().filter(|one| one.exchange == Exchange::F32);
    let rows: Vec<_> = plain.map(|one| (ranks.size(), one.bytes, one.seconds)).collect();
    let network = Network::fit(&rows);
    let mut text = format!("{} ranks:\n\n", ranks.size());
    text += &head(&["parameters", "sent as", "bytes", "milliseconds", "by the model"]);
    for one in &all {
        let model = network.seconds(ranks.size(), one.bytes);
        text += &line(&[
            number(one.parameters as f64),
            format!("{:?}", one.exchange).to_lowercase(),
            number(one.bytes),
            number(1e3 * one.seconds),
            if one.exchange == Exchange::F32 { number(1e3 * model) } else { String::new() },
        ]);
    }
    text += &format!(
        "\nα = {} µs a message, β = {} ns a byte ({} GB/s)\n\n",
        number(1e6 * network.latency),
        number(1e9 * network.per_byte),
        number(1e-9 / network.per_byte),
    );
    text += &calculated(network, parameters, step);
    Ok(text)
}

/// What many ranks make of it.
fn calculated(network: Network, parameters: usize, step: f64) -> String {
    let mut text = format!(
        "{} parameters as f32, {} ms a meta-iteration; with stragglers in brackets, and with overlap:\n\n",
        number(parameters as f64),
        number(1e3 * step)
    );
    text += &head(&["ranks", "exchange, ms", "H = 1", "H = 10", "H = 100", "H = 100, overlap"]);
    for ranks in MANY {
        let exchange = network.seconds(ranks, bytes(Exchange::F32, parameters));
        let of = |clock: Clock| {
            format!("{} ({})", percent(clock.efficiency()), percent(clock.simulated(ROUNDS)))
        };
        let rounds = |local: f64| Clock::new(ranks, local * step, exchange);
        let mut cells = vec![ranks.to_string(), number(1e3 * exchange)];
        cells.extend([1.0, 10.0, 100.0].map(|local| of(rounds(local))));
        cells.push(of(rounds(100.0).overlapping()));
        text += &line(&cells);
    }
    text
}

/// The median seconds of an exchange of `size` numbers: of rank 0, after all have begun.
fn time(ranks: &Ranks, size: usize, exchange: Exchange) -> Result<f64> {
    let values: Vec<f32> = (0..size).map(|i| ((i + ranks.rank()) as f32 * 0.37).sin()).collect();
    let (mut times, start) = (Vec::new(), Instant::now());
    loop {
        let mut own = values.clone();
        // The first rank's clock decides for all.
        let more = times.len() < FEWEST || times.len() < TIMES && start.elapsed() < LONGEST;
        let more = ranks.of_first(Some(vec![u8::from(more)]))?;
        if more.first() != Some(&1) {
            break;
        }
        let began = Instant::now();
        ranks.mean(&mut own, exchange)?;
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
