// The page: drawing, a curve, training, checkpoints, and all that may go wrong there. Pictures of it go into the folder that SHOTS names.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { complaints, launch, opened, tried } from './browser.mjs';
import { folder, read, run, write } from './native.mjs';

const PAGE = '/dist/index.html';
const shots = process.env.SHOTS;

/** The page, once it is ready, with this tab open. */
async function ready(tab) {
  const page = await opened(PAGE);
  await page.setViewport({ width: 860, height: 900 });
  await page.waitForSelector('main:not([hidden])', { timeout: 60000 });
  await page.waitForFunction(() => document.querySelector('#bars li') && document.querySelector('#plot').onclick !== undefined);
  await page.waitForFunction(() => document.getElementById('status').textContent === '', { timeout: 60000 });
  await page.click(`#tab-${tab}`);
  return page;
}

const said = (page, where = '#status') => page.$eval(where, (it) => it.textContent);
const saying = (page, part, where = '#status') =>
  page.waitForFunction((part, where) => document.querySelector(where).textContent.includes(part), { timeout: 60000 }, part, where);

const idle = (page) => page.waitForSelector('main[aria-busy=false]', { timeout: 60000 });

async function shot(page, name) {
  // Bars take their time.
  await new Promise((done) => setTimeout(done, 300));
  if (shots) await page.screenshot({ path: path.join(shots, `${name}.webp`), type: 'webp', quality: 70 });
}

/** Draws lines of points, in sides of the canvas, with the mouse. */
async function draw(page, canvas, lines) {
  const element = await page.$(canvas);
  await element.scrollIntoView();
  const box = await element.boundingBox();
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  for (const line of lines) {
    await page.mouse.move(...at(line[0]));
    await page.mouse.down();
    for (const point of line.slice(1)) await page.mouse.move(...at(point), { steps: 4 });
    await page.mouse.up();
  }
}

/** A ring, a cross, a zigzag, a ladder, and the letter T, turned and bent a little. */
const characters = (bend) => {
  const round = (from, to, r, [x, y]) => Array.from({ length: 13 }, (_, i) => from + ((to - from) * i) / 12)
    .map((a) => [x + r * Math.cos(a) * (1 + bend), y + r * Math.sin(a)]);
  const turned = (lines) => lines.map((line) => line.map(([x, y]) => [x + bend * (y - 0.5), y - bend * (x - 0.5)]));
  return [
    [round(0, 6.2, 0.3, [0.5, 0.5])],
    [[[0.2, 0.2], [0.8, 0.8]], [[0.8, 0.2], [0.2, 0.8]]],
    [[[0.2, 0.2], [0.8, 0.3], [0.2, 0.55], [0.8, 0.8]]],
    [[[0.3, 0.15], [0.3, 0.85]], [[0.7, 0.15], [0.7, 0.85]], [[0.3, 0.35], [0.7, 0.35]], [[0.3, 0.65], [0.7, 0.65]]],
    [[[0.2, 0.2], [0.8, 0.2]], [[0.5, 0.2], [0.5, 0.85]]],
  ].map(turned);
};

await tried('page: drawn characters are told apart', async () => {
  const page = await ready('draw');
  await page.select('#ways', '5');
  await saying(page, 'A, B, C, D, E', '#hint');
  // A query and no examples: nothing is guessed.
  await draw(page, '#query', characters(0)[1]);
  assert.match(await said(page, '#hint'), /Draw an example of A, B, C, D, E/);
  assert.equal(await page.$eval('#verdict', (it) => it.textContent), '');
  for (const [number, lines] of characters(0).entries()) await draw(page, `#example-${number}-0`, lines);
  let right = 0;
  for (const [number, lines] of characters(0.12).entries()) {
    await page.focus('#query');
    await page.keyboard.press('Delete');
    await saying(page, 'Now draw one of them again', '#hint');
    await draw(page, '#query', lines);
    await page.waitForFunction(() => document.getElementById('verdict').textContent, { timeout: 60000 });
    await idle(page);
    const verdict = await page.$eval('#verdict', (it) => it.textContent);
    right += verdict === `It is ${'ABCDE'[number]}.`;
    console.log(`  ${'ABCDE'[number]}: ${verdict} ${(await page.$eval('#bars', (it) => it.textContent))}`);
    if (number === 1) await shot(page, 'draw');
  }
  assert.ok(right >= 4, `${right} of 5`);
  const shares = await page.$$eval('#bars b', (all) => all.map((it) => parseInt(it.textContent, 10)));
  assert.ok(Math.abs(shares.reduce((a, b) => a + b) - 100) <= 3, `${shares}`);
  // What a stroke of the query costs, and one of an example.
  const milliseconds = await page.evaluate(async () => {
    const net = (await import('/dist/networks.js')).networks.get('glyphs');
    const image = Float32Array.from({ length: 28 * 28 }, (_, place) => place % 3 === 0);
    const examples = Float32Array.from({ length: 5 * image.length }, (_, place) => place % 7 === 0);
    const median = async (work) => {
      const times = [];
      for (let round = 0; round < 5; round++) {
        const begin = performance.now();
        await work();
        times.push(performance.now() - begin);
      }
      return times.sort((a, b) => a - b)[2];
    };
    const told = await median(() => net.adapt(examples, Float32Array.of(0, 1, 2, 3, 4), { classes: 5 }));
    return [await median(() => net.predict(image)), told];
  });
  console.log(`  milliseconds of a prediction and of an adaptation: ${milliseconds.map(Math.round)}`);
  await page.close();
});

await tried('page: a curve follows its points', async () => {
  const page = await ready('curve');
  const box = await (await page.$('#plot')).boundingBox();
  const at = ([x, y]) => [box.x + ((x + 5) / 10) * box.width, box.y + ((5.5 - y) / 11) * box.height];
  const wave = (x) => 2.5 * Math.sin(x + 0.7);
  for (let x = -4.5; x < 5; x++) await page.mouse.click(...at([x, wave(x)]));
  const state = () => page.evaluate(async () => (await import('/dist/curve.js')).state());
  const settled = async (test, ...given) => page.waitForFunction(test, { timeout: 60000, polling: 200 }, ...given);
  await settled(async () => {
    const { points, own, other } = (await import('/dist/curve.js')).state();
    return points.length === 10 && own && other;
  });
  await idle(page);
  const errors = ({ own, other }) => [own, other].map((curve) => Object.values(curve).reduce((sum, y, i) => sum + (y - wave(i / 10 - 5)) ** 2, 0) / 101);
  const all = await state();
  const [own, other] = errors(all);
  console.log(`  mean squared error: meta-trained ${own.toFixed(3)}, untrained ${other.toFixed(3)}`);
  assert.ok(own < 0.3 && other > 4 * own, `${own} and ${other}`);
  await shot(page, 'curve');
  // An eleventh point is not taken; one that is dragged takes the curve along.
  await page.mouse.click(...at([0, 4.9]));
  assert.equal((await state()).points.length, 10);
  const before = await state();
  await page.mouse.move(...at(before.points[9]));
  await page.mouse.down();
  await page.mouse.move(...at([4.5, 3]), { steps: 5 });
  await page.mouse.up();
  await idle(page);
  const after = await state();
  assert.ok(Math.abs(after.points[9][1] - 3) < 0.1, `${after.points[9]}`);
  assert.ok(after.own[95] > before.own[95] + 0.5, `${before.own[95]} to ${after.own[95]}`);
  // No inner steps: the network as it is.
  await page.$eval('#steps', (it) => {
    it.value = 0;
    it.dispatchEvent(new Event('input'));
  });
  await idle(page);
  assert.ok(errors(await state())[0] > 1);
  // Keys: a point is moved, and taken away.
  await page.focus('#plot');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Delete');
  assert.equal((await state()).points.length, 9);
  await page.close();
});

await tried('page: a training is seen, used, saved and loaded', async () => {
  const page = await ready('train');
  await page.evaluate(() => {
    globalThis.gaps = [];
    let last = performance.now();
    const frame = () => {
      gaps.push(performance.now() - last);
      last = performance.now();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  await page.select('#from', 'nothing');
  await page.click('#go');
  const iterations = () => page.$eval('#iterations', (it) => Number(it.textContent.replaceAll(',', '')));
  await page.waitForFunction(() => Number(document.getElementById('iterations').textContent.replaceAll(',', '')) > 50, { timeout: 60000 });
  await page.evaluate(() => { gaps.length = 0; });
  // Somebody draws meanwhile, and sets points.
  await page.click('#tab-curve');
  await page.click('#wave');
  await page.click('#tab-draw');
  await draw(page, '#example-0-0', characters(0)[0]);
  await page.click('#tab-train');
  const longest = await page.evaluate(async () => {
    gaps.length = 0;
    await new Promise((done) => setTimeout(done, 4000));
    return Math.max(...gaps);
  });
  console.log(`  longest frame while training: ${longest.toFixed(1)} ms; ${await page.$eval('#speed', (it) => it.textContent)} tasks a second on ${await page.$eval('#adapter', (it) => it.textContent)}`);
  await page.waitForFunction(() => Number(document.getElementById('iterations').textContent.replaceAll(',', '')) > 1500, { timeout: 120000 });
  await shot(page, 'train');
  await page.click('#go');
  await saying(page, 'Paused');
  const done = await iterations();
  assert.ok(done > 1500 && longest < 50, `${done}, ${longest} ms`);
  // What was trained is what the curve has, and the program evaluates it.
  const saved = await page.evaluate(async () => {
    const { networks } = await import('/dist/networks.js');
    return [networks.get('sine').iteration, btoa(Array.from(await networks.keep('sine'), (it) => String.fromCharCode(it)).join(''))];
  });
  assert.equal(saved[0], done);
  write('trained.safetensors', Buffer.from(saved[1], 'base64'));
  const tested = run('eval', 'trained.safetensors', '--tasks', '200', '--no-autotune');
  const losses = [...tested.matchAll(/loss .*after ([0-9.]+)/g)].map((it) => Number(it[1]));
  console.log(`  the program's test: ${losses[0]} after adaptation; from nothing ${losses[1]}`);
  assert.ok(losses[0] < 0.75 * losses[1], tested);
  const client = await page.createCDPSession();
  await client.send('Page.setDownloadBehavior', { behavior: 'allow', downloadPath: folder });
  await page.click('#save');
  await saying(page, 'Saved as');
  const name = (await said(page)).match(/Saved as (.*)\.$/)[1];
  for (let tries = 0; tries < 50 && !fs.existsSync(path.join(folder, name)); tries++) await new Promise((wait) => setTimeout(wait, 100));
  assert.deepEqual(read(name), read('trained.safetensors'), 'the file is what the page has');
  // Back to another, of the program's; and what is none.
  run('train', '--preset', 'sine', '--iterations', '7', '--no-autotune', '--out', 'seven');
  const input = await page.$('#load');
  await input.uploadFile(path.join(folder, 'seven', 'checkpoints', '0000000007.safetensors'));
  await saying(page, '0000000007.safetensors is in use for sine waves');
  assert.equal(await iterations(), 7);
  run('train', '--preset', 'omniglot-mlp-5w1s', '--set', 'tasks.kind=glyphs', '--set', 'model.layers=[{ type = "dense", units = 3 }]', '--set', 'tasks.way=3', '--set', 'tasks.shots=1', '--set', 'tasks.train_shots=5', '--set', 'eval.every=0', '--iterations', '1', '--no-autotune', '--out', 'three');
  write('words.safetensors', Buffer.from('these are words and no tensors at all'));
  write('empty.safetensors', Buffer.alloc(0));
  write('cut.safetensors', read('trained.safetensors').subarray(0, 9000));
  for (const [file, part] of [['three/checkpoints/0000000001.safetensors', '3 outputs'], ['words.safetensors', 'safetensors'], ['empty.safetensors', '0 bytes'], ['cut.safetensors', 'truncated']]) {
    await input.uploadFile(path.join(folder, file));
    await saying(page, path.basename(file));
    await saying(page, part);
    console.log(`  ${await said(page)}`);
  }
  assert.equal(await iterations(), 7, 'the network is as it was');
  await page.close();
});

await tried('page: glyphs are trained in two tabs at once', async () => {
  const pages = [await ready('train'), await ready('train')];
  for (const page of pages) {
    await page.bringToFront();
    await page.select('#kind', 'glyphs');
    await page.click('#go');
  }
  for (const page of pages) {
    await page.bringToFront();
    await page.waitForFunction(() => Number(document.getElementById('iterations').textContent) > 3, { timeout: 120000 });
    await page.click('#go');
    await saying(page, 'Paused');
    await page.close();
  }
});

await tried('page: a lost GPU is told and replaced', async () => {
  const page = await ready('train');
  await page.click('#go');
  await page.waitForFunction(() => Number(document.getElementById('iterations').textContent.replaceAll(',', '')) > 20, { timeout: 60000 });
  await page.click('#go');
  await saying(page, 'Paused');
  const before = await page.$eval('#iterations', (it) => it.textContent);
  await page.evaluate(async () => (await import('/dist/networks.js')).networks.get('sine').destroy());
  await page.waitForSelector('#lost:not([hidden])');
  // Twice, and a stroke meanwhile.
  await page.click('#lost button', { count: 2 });
  await page.click('#tab-draw');
  await draw(page, '#query', characters(0)[1]);
  await page.click('#tab-train');
  await saying(page, 'Restarted');
  assert.equal(await page.$eval('#iterations', (it) => it.textContent), before);
  await page.click('#go');
  await page.waitForFunction((before) => document.getElementById('iterations').textContent !== before, { timeout: 60000 }, before);
  await page.click('#go');
  await saying(page, 'Paused');
  await page.close();
});

await tried('page: without WebGPU, and from a file', async () => {
  // Consoles may say that there is no adapter, and that modules are not loaded from files.
  const heard = complaints.length;
  const browser = await launch(false);
  const page = await opened(PAGE, browser);
  await page.waitForSelector('#without:not([hidden])');
  const words = await page.$eval('#without', (it) => it.innerText);
  assert.ok(words.includes('Chrome') && words.includes('Firefox') && words.includes('WebGPU'), words);
  assert.ok(await page.$eval('#without img', (it) => it.complete && it.naturalWidth > 100), 'a recorded picture');
  assert.ok(await page.$eval('main', (it) => it.hidden));
  await page.close();
  const file = await opened(pathToFileURL(path.join(import.meta.dirname, '..', 'page', 'index.html')).href, browser);
  assert.match(await said(file), /opened from a file.*http\.server/);
  await browser.close();
  complaints.length = heard;
});
