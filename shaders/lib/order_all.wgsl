// The order of a batch that is full. Needs the constants POOL, TAKE (places that a pass fills), ORDERED.

fn pool_size() -> u32 {
    return POOL;
}

fn taken() -> u32 {
    return TAKE;
}

fn ordered() -> u32 {
    return ORDERED;
}

fn place_of(place: u32) -> u32 {
    return place;
}

fn is_needed(layer: u32) -> bool {
    return true;
}

fn write_absent(task: u32, layer: u32, block: u32, lane: u32) {}
