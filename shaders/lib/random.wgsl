// What a function of the user's own draws from: a stream of its own. Needs lib/rng.wgsl and lib/precise_sin.wgsl.

struct Random {
    key: vec2<u32>,
    next: u32,          // how many were drawn
    example: u32,       // whose it is; 0 of a task
}

fn next_words(random: ptr<function, Random>) -> vec2<u32> {
    let words = threefry2x32((*random).key, vec2<u32>((*random).next, 0u));
    (*random).next += 1u;
    return words;
}

// Which example of its task is drawn: support examples from 0 on, and then queries.
fn example_number(random: ptr<function, Random>) -> u32 {
    return (*random).example;
}

// Uniform in [0, 1), with 24 bits.
fn uniform(random: ptr<function, Random>) -> f32 {
    return unit(next_words(random).x);
}

// Of mean 0 and deviation 1 (Box and Muller 1958).
fn normal(random: ptr<function, Random>) -> f32 {
    let words = next_words(random);
    let radius = sqrt(-2.0 * log(1.0 - unit(words.x)));
    return radius * precise_sin(6.2831853 * (unit(words.y) + 0.25));
}

// A uniform integer in 0..n.
fn below(random: ptr<function, Random>, n: u32) -> u32 {
    return word_below(next_words(random).x, n);
}
