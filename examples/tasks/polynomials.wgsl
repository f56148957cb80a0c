// Two polynomials of degree three in two numbers, seen with a little noise.

const TERMS = 10u;

struct Task {
    coefficients: array<array<f32, TERMS>, OUTPUTS>,
}

fn draw_task(random: ptr<function, Random>) -> Task {
    var task: Task;
    for (var output = 0u; output < OUTPUTS; output++) {
        for (var term = 0u; term < TERMS; term++) {
            task.coefficients[output][term] = normal(random);
        }
    }
    return task;
}

fn draw_example(
    task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>, y: ptr<function, array<f32, OUTPUTS>>,
) {
    let a = 2.0 * uniform(random) - 1.0;
    let b = 2.0 * uniform(random) - 1.0;
    (*x)[0] = a;
    (*x)[1] = b;
    var terms = array<f32, TERMS>(1.0, a, b, a * a, a * b, b * b, a * a * a, a * a * b, a * b * b, b * b * b);
    var drawn = task;
    for (var output = 0u; output < OUTPUTS; output++) {
        var sum = 0.05 * normal(random);
        for (var term = 0u; term < TERMS; term++) {
            sum += drawn.coefficients[output][term] * terms[term];
        }
        (*y)[output] = sum;
    }
}
