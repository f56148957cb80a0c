// The library: training beside a native run of the same settings, adaptation, checkpoints in and out, and what a page does wrong.
import assert from 'node:assert/strict';
import { opened, tried } from './browser.mjs';
import { read, run, safetensors, tensors, write } from './native.mjs';

/** Runs `test` in a fresh page that has the library as `reptile`, the settings of the preset `sine`, and some helpers. */
const evaluated = async (test, ...given) => {
  const page = await opened('/');
  await page.evaluate(async () => {
    globalThis.reptile = await import('/dist/reptile_web.js');
    await reptile.default();
    const dense = (units, activation) => ({ type: 'dense', units, activation });
    globalThis.sine = {
      model: { input: [1], loss: 'mse', init: 'torch', layers: [dense(64, 'tanh'), dense(64, 'tanh'), dense(1, 'linear')] },
      tasks: { kind: 'sine' },
      inner: { optimizer: 'sgd', rate: 0.02, batch: 10, epochs: 1 },
      outer: { rate: 0.1, meta_batch: 1, schedule: { kind: 'linear', final: 0.0 } },
    };
    globalThis.bytes = (base64) => Uint8Array.from(atob(base64), (it) => it.charCodeAt(0));
    globalThis.base64 = (bytes) => btoa(Array.from(bytes, (it) => String.fromCharCode(it)).join(''));
    /** What `work` rejects with. */
    globalThis.said = async (work) => {
      try {
        await work();
        return 'accepted';
      } catch (error) {
        return error.message;
      }
    };
  });
  const result = await page.evaluate(test, ...given);
  await page.close();
  return result;
};
const inPage = (name, test, ...given) => tried(name, () => evaluated(test, ...given));

/** Whether `words` has a part for each key of `wanted`. */
function names(words, wanted) {
  console.log(words);
  for (const [key, part] of Object.entries(wanted)) {
    assert.ok(words[key].includes(part), `${key}: ${words[key]}`);
  }
}

const furthest = (a, b) => Math.max(...a.map((value, i) => Math.abs(value - b[i])));

const ITERATIONS = 400;
const trained = await inPage('sine trains as it does natively, a slice a frame', async (iterations) => {
  const net = await reptile.Reptile.create({ ...sine, iterations });
  await net.train(1);
  // Not the first iterations, in which the driver compiles.
  const [told, gaps] = [[], []];
  let last = performance.now(), going = true;
  const frame = () => {
    gaps.push(performance.now() - last);
    last = performance.now();
    if (going) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  await net.train(iterations - 1, (it) => { told.push(it); });
  going = false;
  return { parameters: [...await net.parameters()], told, iteration: net.iteration, longest: Math.max(...gaps.slice(1)) };
}, ITERATIONS);
if (trained) {
  run('train', '--preset', 'sine', '--iterations', String(ITERATIONS), '--no-autotune', '--out', 'sine');
  const all = tensors(read('sine', 'checkpoints', `${String(ITERATIONS).padStart(10, '0')}.safetensors`));
  const wanted = [1, 2, 3].flatMap((n) => [...all[`dense${n}.weight`], ...all[`dense${n}.bias`]]);
  const far = furthest(trained.parameters, wanted);
  console.log(`  furthest from the native run: ${far}; longest frame: ${trained.longest.toFixed(1)} ms; progress told ${trained.told.length} times`);
  assert.equal(trained.parameters.length, wanted.length);
  assert.ok(far < 1e-4, `parameters differ by ${far}`);
  assert.ok(trained.longest < 50, `a frame took ${trained.longest} ms`);
  assert.equal(trained.iteration, ITERATIONS);
  assert.equal(trained.told.at(-1).iteration, ITERATIONS);
  const mean = (key) => trained.told.reduce((sum, it) => sum + it[key], 0) / trained.told.length;
  assert.ok(trained.told.every((it) => Number.isFinite(it.first) && Number.isFinite(it.last)));
  assert.ok(mean('last') < mean('first'), 'inner loops lower the loss');
}

const curve = await inPage('a curve is adapted to while the training goes on', async () => {
  const net = await reptile.Reptile.create({ ...sine, iterations: 3000 });
  await net.train(1500);
  const training = net.train(200);
  const x = Float32Array.from({ length: 10 }, (_, i) => i - 4.5);
  const value = (x) => 2.5 * Math.sin(x + 0.7);
  const losses = await net.adapt(x, x.map(value), { steps: 32 });
  const queries = Float32Array.from({ length: 50 }, (_, i) => i / 5 - 5);
  const told = await net.predict(queries);
  await training;
  const errors = [...queries].map((x, i) => (value(x) - told[i]) ** 2);
  return { steps: losses.length, error: errors.reduce((a, b) => a + b) / 50, iteration: net.iteration };
});
if (curve) {
  console.log(`  mean squared error after 32 steps on ten points: ${curve.error.toFixed(3)}`);
  assert.ok(curve.error < 1, 'the curve is learned');
  assert.deepEqual([curve.steps, curve.iteration], [32, 1700]);
}

const glyphs = await inPage('characters are told apart', async () => {
  const conv = { type: 'conv2d', filters: 16, kernel: 3, stride: 2 };
  const norm = { type: 'batch-norm', activation: 'relu' };
  const net = await reptile.Reptile.create({
    model: { input: [1, 14, 14], loss: 'cross-entropy', layers: [conv, norm, conv, norm, { type: 'dense', units: 3 }] },
    tasks: { kind: 'glyphs', way: 3, shots: 1, train_shots: 3, size: 14 },
    inner: { optimizer: 'sgd', rate: 0.05, batch: 5, steps: 5 },
    outer: { rate: 0.5, meta_batch: 3 },
    iterations: 60,
  });
  await net.train(60);
  // A bar, a cross and a ring, moved a little.
  const draw = (kind, dx) => Float32Array.from({ length: 196 }, (_, at) => {
    const [x, y] = [at % 14 - 6.5 - dx, Math.floor(at / 14) - 6.5];
    const on = [Math.abs(x) < 1, Math.abs(Math.abs(x) - Math.abs(y)) < 1, Math.abs(Math.hypot(x, y) - 4.5) < 1][kind];
    return on ? 0 : 1;
  });
  const all = (images) => Float32Array.from(images.flatMap((it) => [...it]));
  const twice = [0, 1, 2].flatMap((kind) => [draw(kind, -0.6), draw(kind, 0.6)]);
  await net.adapt(all(twice), new Float32Array([0, 0, 1, 1, 2, 2]), { steps: 30 });
  const logits = await net.predict(all([0, 1, 2].map((kind) => draw(kind, 0))));
  const rows = [0, 1, 2].map((row) => [...logits.slice(3 * row, 3 * row + 3)]);
  return { told: rows.map((row) => row.indexOf(Math.max(...row))), logits: [...logits] };
});
if (glyphs) {
  assert.deepEqual(glyphs.told, [0, 1, 2], `logits ${glyphs.logits}`);
}

/** Ten points of a wave, and 50 places. */
const x = Array.from({ length: 10 }, (_, i) => i - 4.5);
const y = x.map((x) => 2.5 * Math.sin(x + 0.7));
const queries = Array.from({ length: 50 }, (_, i) => i / 5 - 5);

await tried('checkpoints of the program and of the page are each other\'s', async () => {
  run('train', '--preset', 'sine', '--iterations', '300', '--set', 'outer.schedule={ kind = "constant" }', '--no-autotune', '--out', 'there');
  write('tasks.safetensors', safetensors({ support_x: [[1, 10, 1], x], support_y: [[1, 10, 1], y], query_x: [[1, 50, 1], queries] }));
  const base = 'there/checkpoints/0000000300.safetensors';
  run('adapt', base, '--tasks', 'tasks.safetensors', '--no-autotune', '--out', 'adapted.safetensors');
  for (const codec of ['f16', 'int8', 'replay']) {
    run('compress', 'adapted.safetensors', '--base', base, '--codec', codec, '--out', codec, ...(codec === 'replay' ? ['--tasks', 'tasks.safetensors'] : []));
  }
  const files = Object.fromEntries([base, 'adapted.safetensors', 'f16', 'int8', 'replay'].map((name) => [name.split('/')[0], read(name).toString('base64')]));
  const wanted = tensors(read('adapted.safetensors')).query_output;
  const page = await evaluated(async (files, x, y, queries) => {
    const numbers = (all) => Float32Array.from(all);
    const net = await reptile.Reptile.create({ checkpoint: bytes(files.there) });
    const begun = net.iteration;
    await net.adapt(numbers(x), numbers(y));
    const outputs = [...await net.predict(numbers(queries))];
    const models = {};
    for (const kind of ['adapted.safetensors', 'f16', 'int8']) {
      const count = await net.load(bytes(files[kind]));
      models[kind] = { count, outputs: [...await net.predict(numbers(queries), { model: 0 })] };
    }
    const saved = base64(await net.save());
    const first = [...await net.parameters()];
    await net.train(100);
    const later = base64(await net.save());
    const last = [...await net.parameters()];
    const moved = Math.max(...last.map((it, i) => Math.abs(it - first[i])));
    // Back to where it was.
    await net.load(bytes(saved));
    const back = net.iteration;
    await net.train(100);
    const again = [...await net.parameters()];
    // Another network on the same GPU, from nothing.
    const other = await net.another({ ...sine, seed: 3, model: { ...sine.model, layers: sine.model.layers.slice(1) } });
    const flipped = bytes(files.there);
    flipped[flipped.length - 3] ^= 1;
    const words = {
      other: await said(() => other.load(bytes(files.there))),
      adapted: await said(() => other.load(bytes(files.f16))),
      base: await said(async () => (await net.another(sine)).load(bytes(files.f16))),
      replay: await said(async () => {
        await net.load(bytes(files.there));
        await net.load(bytes(files.replay));
      }),
      cut: await said(() => net.load(bytes(files.there).slice(0, 5000))),
      flipped: await said(() => net.load(flipped)),
      none: await said(() => net.load(new TextEncoder().encode('this is no checkpoint at all'))),
      empty: await said(() => net.load(new Uint8Array(0))),
    };
    return { begun, outputs, models, saved, later, back, moved, same: last.every((it, i) => it === again[i]), words, device: net.device, shape: net.shape };
  }, files, x, y, queries);
  assert.deepEqual([page.begun, page.back, page.same], [300, 300, true]);
  assert.ok(page.moved > 1e-3, `trained: ${page.moved}`);
  assert.deepEqual(page.shape, { input: [1], outputs: 1, tasks: 'sine', metaBatch: 1 });
  assert.ok(page.device.length > 3, `device: ${page.device}`);
  const far = { adapted: furthest(page.outputs, wanted) };
  for (const [kind, { count, outputs }] of Object.entries(page.models)) {
    assert.equal(count, 1);
    far[kind] = furthest(outputs, wanted);
  }
  console.log(`  on ${page.device}; furthest from the native outputs:`, far);
  assert.ok(far.adapted < 1e-4 && far['adapted.safetensors'] < 1e-4, 'as natively');
  assert.ok(far.f16 < 1e-2 && far.int8 < 0.1 && far.int8 > 0);
  write('page.safetensors', Buffer.from(page.saved, 'base64'));
  assert.deepEqual(tensors(read('page.safetensors')), tensors(read(base)), 'what was not trained is the same');
  write('later.safetensors', Buffer.from(page.later, 'base64'));
  const tested = run('eval', 'later.safetensors', '--tasks', '20', '--no-autotune');
  assert.match(tested, /loss/);
  names(page.words, {
    other: 'another network', adapted: 'load that first', base: 'load that first', replay: 'decompress it first', cut: 'truncated', flipped: 'changed',
    none: 'safetensors', empty: 'safetensors',
  });
});

await tried('of several runs the first goes on, alone', async () => {
  run('train', '--preset', 'sine', '--iterations', '20', '--set', 'runs=2', '--no-autotune', '--out', 'two');
  const saved = await evaluated(async (file) => {
    const net = await reptile.Reptile.create({ checkpoint: bytes(file) });
    await net.train(5);
    return base64(await net.save());
  }, read('two', 'checkpoints', '0000000020.safetensors').toString('base64'));
  write('one.safetensors', Buffer.from(saved, 'base64'));
  assert.match(run('eval', 'one.safetensors', '--tasks', '5', '--no-autotune'), /loss/);
});

await tried('a checkpoint of images is adapted, and trained where the images are', async () => {
  const model = 'model.layers=[{ type = "conv2d", filters = 8, kernel = 3, stride = 2 }, { type = "batch-norm", activation = "relu" }, { type = "dense", units = 3 }]';
  run('train', '--preset', 'glyphs-5w1s', '--iterations', '20', '--set', model, '--set', 'tasks.way=3', '--set', 'eval.every=0', '--set', 'eval.batch=3', '--set', 'eval.steps=20', '--no-autotune', '--out', 'glyphs');
  const images = Array.from({ length: 5 * 784 }, (_, i) => ((i * 7919) % 97) / 96);
  write('images.safetensors', safetensors({
    support_x: [[1, 3, 1, 28, 28], images.slice(0, 3 * 784)], support_y: [[1, 3], [0, 1, 2], 'I32'], query_x: [[1, 2, 1, 28, 28], images.slice(3 * 784)],
  }));
  run('adapt', 'glyphs', '--tasks', 'images.safetensors', '--no-autotune', '--out', 'glyphs.safetensors');
  const wanted = tensors(read('glyphs.safetensors')).query_output;
  const file = read('glyphs', 'checkpoints', '0000000020.safetensors').toString('base64');
  const page = await evaluated(async (file, images) => {
    const net = await reptile.Reptile.create({ checkpoint: bytes(file) });
    const part = (from, to) => Float32Array.from(images.slice(784 * from, 784 * to));
    await net.adapt(part(0, 3), Float32Array.of(0, 1, 2));
    const outputs = [...await net.predict(part(3, 5))];
    await net.train(2);
    // Only two of the three classes; and what is wrong.
    await net.adapt(part(0, 2), Float32Array.of(0, 1), { classes: 2 });
    const two = [...await net.predict(part(3, 4))];
    const words = {
      label: await said(() => net.adapt(part(0, 1), Float32Array.of(3))),
      part: await said(() => net.adapt(part(0, 1).slice(1), Float32Array.of(0))),
    };
    return { outputs, two, words, iteration: net.iteration };
  }, file, images);
  const far = furthest(page.outputs, wanted);
  console.log(`  furthest from the native logits: ${far}`);
  assert.ok(far < 1e-4 && page.outputs.length === 6 && page.iteration === 22);
  assert.ok(page.two.slice(0, 2).every(Number.isFinite), `${page.two}`);
  names(page.words, { label: '3 is no class', part: 'no whole examples' });
});

await tried('every type of layer, and many tasks, train as they do natively', async () => {
  const norm = (type, more = '') => `{ type = "${type}", activation = "relu"${more} }`;
  const conv = (stride) => `{ type = "conv2d", filters = 8, kernel = 3, stride = ${stride}, activation = "tanh" }`;
  const [pool, end] = ['{ type = "max-pool", size = 2 }, { type = "average-pool", size = 2 }', '{ type = "dense", units = 3 }'];
  const set = (...settings) => settings.flatMap((setting) => ['--set', setting]);
  const images = (layers) => ['--preset', 'glyphs-5w1s', ...set(`model.layers=${layers}`, 'tasks.way=3', 'inner.optimizer=sgd')];
  const jobs = {
    batch: images(`[${conv(2)}, ${norm('batch-norm')}, ${conv(1)}, ${pool}, ${end}]`),
    group: images(`[${conv(1)}, ${norm('group-norm', ', groups = 2')}, ${conv(2)}, { type = "global-pool" }, ${end}]`),
    layer: images(`[{ type = "flatten" }, { type = "dense", units = 24 }, { type = "activation", function = "gelu" }, ${norm('layer-norm')}, ${end}]`),
    // So many that a workgroup sums over them.
    many: ['--preset', 'sine', ...set('outer.meta_batch=40', 'inner.epochs=5')],
  };
  for (const [name, job] of Object.entries(jobs)) {
    const more = set('inner.rate=0.01', 'log.checkpoint_every=1', 'eval.every=0');
    run('train', ...job, '--iterations', '3', ...more, '--no-autotune', '--out', name);
    const [begin, end] = [1, 3].map((number) => read(name, 'checkpoints', `000000000${number}.safetensors`));
    const saved = await evaluated(async (file) => {
      const net = await reptile.Reptile.create({ checkpoint: bytes(file) });
      await net.train(2);
      return base64(await net.save());
    }, begin.toString('base64'));
    const [before, wanted, got] = [begin, end, Buffer.from(saved, 'base64')].map(tensors);
    const far = Math.max(...Object.keys(wanted).map((key) => furthest(wanted[key], got[key])));
    const way = Math.max(...Object.keys(wanted).map((key) => furthest(wanted[key], before[key])));
    console.log(`  ${name}: ${far} of ${way}`);
    assert.ok(far < 1e-4 * way && way > 1e-3, `${name}: ${far} of ${way}`);
  }
});

await inPage('a lost GPU is told, and the network goes on', async () => {
  const net = await reptile.Reptile.create(sine);
  await net.train(50);
  const saved = await net.save();
  net.destroy();
  const lost = await net.lost;
  const word = await said(() => net.train(5));
  const again = await reptile.Reptile.create({ checkpoint: saved });
  await again.train(10);
  if (typeof lost !== 'string' || word === 'accepted' || again.iteration !== 60) throw new Error(`${lost}, ${word}, ${again.iteration}`);
});

const refusals = await inPage('what a page does wrong is said', async () => {
  const create = (change) => reptile.Reptile.create({ ...sine, ...change });
  const net = await create({});
  return {
    key: await said(() => create({ iteration: 3 })),
    inner: await said(() => create({ inner: { ...sine.inner, step: 3 } })),
    glyphs: await said(() => create({ tasks: { kind: 'glyphs', way: 3, shots: 1, train_shots: 3, sides: 14 } })),
    units: await said(() => create({ model: { ...sine.model, layers: [{ type: 'dense', units: 0 }] } })),
    tasks: await said(() => create({
      tasks: { kind: 'omniglot', way: 5, shots: 1, train_shots: 1 },
      model: { input: [1, 28, 28], loss: 'cross-entropy', layers: [{ type: 'dense', units: 5 }] },
      inner: { optimizer: 'sgd', rate: 0.1, batch: 5, steps: 1 },
    })),
    runs: await said(() => create({ runs: 2 })),
    nothing: await said(() => reptile.Reptile.create()),
    checkpoint: await said(() => reptile.Reptile.create({ checkpoint: 'a name' })),
    model: await said(() => net.predict(new Float32Array([1]), { model: 0 })),
    label: await said(() => net.adapt(new Float32Array(1), new Float32Array(1), { step: 3 })),
    rate: await said(() => create({ inner: { ...sine.inner, rate: -1 } })),
    early: await said(() => net.predict(new Float32Array([1]))),
    targets: await said(() => net.adapt(new Float32Array(10), new Float32Array(9))),
    none: await said(() => net.adapt(new Float32Array(0), new Float32Array(0))),
    number: await said(() => net.adapt(new Float32Array([NaN]), new Float32Array([1]))),
    iterations: await said(() => net.train(0)),
    diverged: await said(async () => (await create({ inner: { ...sine.inner, rate: 1e6 } })).train(50)),
  };
});
if (refusals) {
  names(refusals, {
    key: 'unknown field `iteration`', inner: 'unknown field `step`', glyphs: 'tasks.sides', units: 'units must be at least 1', tasks: '"sine" and "glyphs"',
    runs: 'a page trains one', nothing: 'give an object of settings', checkpoint: 'Uint8Array', model: 'there is no model 0', label: 'unknown field `step`',
    rate: 'inner.rate', early: 'call adapt first', targets: 'support targets', none: 'no examples', number: 'NaN', iterations: '1 or more', diverged: 'diverged',
  });
}
