// Headless Chromium on its software adapter, and a server of the page's files.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import puppeteer from 'puppeteer-core';

const web = path.dirname(import.meta.dirname);
const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';
assert.ok(fs.existsSync(chromium), `${chromium} is missing; install chromium, or say in CHROMIUM where it is`);

const kinds = {
  '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm', '.webp': 'image/webp', '.svg': 'image/svg+xml',
};
const server = http.createServer((request, response) => {
  const file = path.join(web, path.normalize(new URL(request.url, 'http://localhost').pathname));
  if (request.url === '/') {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><link rel="icon" href="data:,"><title>reptile</title>');
  } else if (fs.existsSync(file) && fs.statSync(file).isFile()) {
    response.setHeader('content-type', kinds[path.extname(file)] ?? 'application/octet-stream');
    response.end(fs.readFileSync(file));
  } else {
    response.writeHead(404).end();
  }
});
await new Promise((ready) => server.listen(0, 'localhost', ready));
export const address = `http://localhost:${server.address().port}`;

const quiet = ['--no-sandbox', '--disable-background-networking'];
const gpu = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
/** A browser; without WebGPU, if it is not wanted. */
export const launch = (webgpu = true) =>
  puppeteer.launch({ executablePath: chromium, args: [...quiet, ...(webgpu ? gpu : ['--disable-features=WebGPU'])] });

const browser = await launch();
/** What pages complained of on their consoles. */
export const complaints = [];
let failed = false;

/** A fresh page at this path. */
export async function opened(at, from = browser) {
  const page = await from.newPage();
  page.on('console', (message) => ['error', 'warn'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  // Frames are drawn of the page in front alone.
  await page.bringToFront();
  await page.goto(at.includes(':') ? at : `${address}${at}`);
  return page;
}

/** Runs a test whose name has the word that is asked for; its result, or null. */
export async function tried(name, test) {
  if (!name.includes(process.argv[3] ?? '')) return null;
  const start = performance.now();
  try {
    const result = await test();
    console.log(`${name}: passed, ${((performance.now() - start) / 1000).toFixed(1)} s`);
    return result ?? true;
  } catch (error) {
    failed = true;
    console.error(`${name}: FAILED: ${error.stack}`);
    return null;
  }
}

/** Ends all; complains if anything failed, or a page's console was not quiet. */
export async function finish() {
  await browser.close();
  server.close();
  assert.deepEqual(complaints, [], 'the console is quiet');
  assert.ok(!failed);
  console.log('all passed');
}
