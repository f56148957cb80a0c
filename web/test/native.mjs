// The program beside the page: runs of it, and its files.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const program = process.argv[2];

/** A folder that is gone at the end. */
export const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'reptile-web-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));

/** Runs the program in that folder; what it says. */
export const run = (...words) => execFileSync(program, words, { cwd: folder, stdio: 'pipe' }).toString();

/** What is in a file of that folder. */
export const read = (...names) => fs.readFileSync(path.join(folder, ...names));

export const write = (name, bytes) => fs.writeFileSync(path.join(folder, name), bytes);

/** Tensors of a safetensors file's bytes, by their names. */
export function tensors(bytes) {
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

/** The bytes of a safetensors file of `{ name: [shape, numbers, dtype] }`, f32 if no type is said. */
export function safetensors(all) {
  const [header, parts] = [{}, []];
  let end = 0;
  for (const [name, [shape, numbers, dtype = 'F32']] of Object.entries(all)) {
    const part = Buffer.from((dtype === 'F32' ? Float32Array : Int32Array).from(numbers).buffer);
    header[name] = { dtype, shape, data_offsets: [end, end + part.length] };
    end += part.length;
    parts.push(part);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...parts]);
}
