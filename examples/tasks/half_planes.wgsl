// Four classes: two random lines cut the plane, and a point's label says on which side of each it lies.

struct Line {
    normal: vec2<f32>,
    offset: f32,
}

struct Task {
    lines: array<Line, 2>,
}

fn draw_line(random: ptr<function, Random>, turn: f32) -> Line {
    let angle = turn + 1.0 * uniform(random);
    return Line(vec2<f32>(cos(angle), sin(angle)), 0.6 * uniform(random) - 0.3);
}

fn draw_task(random: ptr<function, Random>) -> Task {
    let turn = 6.2831853 * uniform(random);
    return Task(array<Line, 2>(draw_line(random, turn), draw_line(random, turn + 1.1)));
}

fn draw_example(task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>) -> u32 {
    let point = vec2<f32>(2.0 * uniform(random) - 1.0, 2.0 * uniform(random) - 1.0);
    (*x)[0] = point.x;
    (*x)[1] = point.y;
    let first = dot(task.lines[0].normal, point) > task.lines[0].offset;
    let second = dot(task.lines[1].normal, point) > task.lines[1].offset;
    return u32(first) + 2u * u32(second);
}
