// The library in headless Chromium, on its software adapter: training beside a native run of the same settings, adaptation,
// and what a page does wrong. Usage: node test.mjs PROGRAM [WORD of the tests' names]
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import puppeteer from 'puppeteer-core';

const web = path.dirname(import.meta.dirname);
const program = process.argv[2];
const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';
assert.ok(fs.existsSync(chromium), `${chromium} is missing; install chromium, or say in CHROMIUM where it is`);

/** Tensors of a safetensors file. */
function tensors(file) {
  const bytes = fs.readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const data = bytes.subarray(8 + length);
  const floats = ([begin, end]) => {
    const own = data.subarray(begin, end);
    return Array.from({ length: own.length / 4 }, (_, i) => own.readFloatLE(4 * i));
  };
  const all = Object.entries(header).filter(([name]) => name !== '__metadata__');
  return Object.fromEntries(all.map(([name, { data_offsets: at }]) => [name, floats(at)]));
}

/** Parameters that the program has after `iterations` meta-iterations of the preset `sine`. */
function native(iterations) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'reptile-web-'));
  try {
    const run = path.join(folder, 'run');
    const more = ['--iterations', String(iterations), '--no-autotune', '--out', run];
    execFileSync(program, ['train', '--preset', 'sine', ...more], { stdio: 'pipe' });
    const name = `${String(iterations).padStart(10, '0')}.safetensors`;
    const all = tensors(path.join(run, 'checkpoints', name));
    return [1, 2, 3].flatMap((n) => [...all[`dense${n}.weight`], ...all[`dense${n}.bias`]]);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

const kinds = { '.js': 'text/javascript', '.wasm': 'application/wasm' };
const server = http.createServer((request, response) => {
  const file = path.join(web, path.normalize(new URL(request.url, 'http://localhost').pathname));
  if (request.url === '/') {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><link rel="icon" href="data:,"><title>reptile</title>');
  } else if (fs.existsSync(file)) {
    response.setHeader('content-type', kinds[path.extname(file)] ?? 'text/plain');
    response.end(fs.readFileSync(file));
  } else {
    response.writeHead(404).end();
  }
});
await new Promise((ready) => server.listen(0, 'localhost', ready));

const browser = await puppeteer.launch({
  executablePath: chromium,
  args: ['--no-sandbox', '--disable-background-networking', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
});
const complaints = [];
let failed = false;

/** Runs `test` in a fresh page that has the library as `reptile` and the settings of the preset `sine`. */
async function tried(name, test, ...given) {
  if (!name.includes(process.argv[3] ?? '')) return null;
  const page = await browser.newPage();
  page.on('console', (message) => ['error', 'warn'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(`http://localhost:${server.address().port}/`);
  await page.evaluate(async () => {
    globalThis.reptile = await import('/dist/reptile_web.js');
    await reptile.default();
    const dense = (units, activation) => ({ type: 'dense', units, activation });
    globalThis.sine = {
      model: { input: [1], loss: 'mse', init: 'torch', layers: [dense(64, 'tanh'), dense(64, 'tanh'), dense(1, 'linear')] },
      tasks: { kind: 'sine' },
      inner: { optimizer: 'sgd', rate: 0.02, batch: 10, epochs: 1 },
      outer: { rate: 0.1, meta_batch: 1, schedule: { kind: 'linear', final: 0 } },
    };
  });
  try {
    const result = await page.evaluate(test, ...given);
    await page.close();
    console.log(`${name}: passed`);
    return result;
  } catch (error) {
    failed = true;
    console.error(`${name}: FAILED: ${error.stack}`);
    return null;
  }
}

const ITERATIONS = 400;
const trained = await tried('sine trains as it does natively, a slice a frame', async (iterations) => {
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
  const wanted = native(ITERATIONS);
  const furthest = Math.max(...trained.parameters.map((value, i) => Math.abs(value - wanted[i])));
  console.log(`  furthest from the native run: ${furthest}; longest frame: ${trained.longest.toFixed(1)} ms; progress told ${trained.told.length} times`);
  assert.equal(trained.parameters.length, wanted.length);
  assert.ok(furthest < 1e-4, `parameters differ by ${furthest}`);
  assert.ok(trained.longest < 50, `a frame took ${trained.longest} ms`);
  assert.equal(trained.iteration, ITERATIONS);
  assert.equal(trained.told.at(-1).iteration, ITERATIONS);
  const mean = (key) => trained.told.reduce((sum, it) => sum + it[key], 0) / trained.told.length;
  assert.ok(trained.told.every((it) => Number.isFinite(it.first) && Number.isFinite(it.last)));
  assert.ok(mean('last') < mean('first'), 'inner loops lower the loss');
}

const curve = await tried('a curve is adapted to while the training goes on', async () => {
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

const glyphs = await tried('characters are told apart', async () => {
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

const refusals = await tried('what a page does wrong is said', async () => {
  const said = async (work) => {
    try {
      await work();
      return 'accepted';
    } catch (error) {
      return error.message;
    }
  };
  const create = (change) => reptile.Reptile.create({ ...sine, ...change });
  const net = await create({});
  return {
    key: await said(() => create({ iteration: 3 })),
    inner: await said(() => create({ inner: { ...sine.inner, step: 3 } })),
    glyphs: await said(() => create({ tasks: { kind: 'glyphs', way: 3, shots: 1, train_shots: 3, sides: 14 } })),
    units: await said(() => create({ model: { ...sine.model, layers: [{ type: 'dense', units: 0 }] } })),
    tasks: await said(() => create({ tasks: { kind: 'omniglot', way: 5, shots: 1, train_shots: 1 } })),
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
  console.log(refusals);
  for (const [key, part] of Object.entries({
    key: 'unknown field `iteration`', inner: 'unknown field `step`', glyphs: 'tasks.sides', units: 'units must be at least 1', tasks: 'tasks.kind', rate: 'inner.rate',
    early: 'call adapt first', targets: 'support targets', none: 'no examples', number: 'NaN',
    iterations: '1 or more', diverged: 'diverged',
  })) {
    assert.ok(refusals[key].includes(part), `${key}: ${refusals[key]}`);
  }
}

await browser.close();
server.close();
assert.deepEqual(complaints, [], 'the console is quiet');
assert.ok(!failed);
console.log('all passed');
