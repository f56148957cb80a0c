// sin x to about 1e-7 for |x| up to 10^4. The builtin may be wrong by 2^-11 (and is, on some
// devices), and tasks should not depend on the device. Cody and Waite's reduction by multiples of π
// in three parts, then Taylor's series on [−π/2, π/2].
fn precise_sin(x: f32) -> f32 {
    let turns = round(x * 0.31830988618);
    let r = ((x - turns * 3.140625) - turns * 9.6750259e-4) - turns * 1.509958e-7;
    let q = r * r;
    let series = 1.0 + q * (-1.6666667e-1 + q * (8.3333333e-3 + q * (-1.9841270e-4
        + q * (2.7557319e-6 + q * (-2.5052108e-8 + q * 1.6059044e-10)))));
    let sign = 1.0 - 2.0 * f32(u32(abs(turns)) % 2u);
    return sign * r * series;
}
