// The part of learned rates that step k takes: all of them in the LEARNED steps that they were learned with, then less and less.
fn part_of(k: u32) -> f32 {
    return select(1.0, f32(LEARNED) / f32(k + 1u), k >= LEARNED);
}
