// The channels of a group of a group-norm, as the vectors that hold them. SIZE is the number of a group's numbers; AFFINE the
// vectors of γ, which has a number a channel, or with PER_NUMBER one a channel and pixel.

struct Channels {
    first: u32,     // channels first..end
    end: u32,
    vector: u32,    // the first vector that holds one of them
    vectors: u32,   // how many do
}

fn channels_of(group: u32) -> Channels {
    let first = group * (CHANNELS / GROUPS);
    let end = first + CHANNELS / GROUPS;
    return Channels(first, end, first / 4u, (end + 3u) / 4u - first / 4u);
}

// Which numbers of a vector, counted from the group's first, belong to the group.
fn members(own: Channels, vector: u32) -> vec4<bool> {
    let channels = 4u * (own.vector + vector) + vec4<u32>(0u, 1u, 2u, 3u);
    return (channels >= vec4<u32>(own.first)) & (channels < vec4<u32>(own.end));
}

// Where γ of a pixel begins.
fn affine_row(pixel: u32) -> u32 {
    return select(0u, pixel * C4, PER_NUMBER == 1u);
}
