// The networks of the page: one for curves and one for characters, what they were at last, and another GPU where one is lost.
import init, { Reptile } from './reptile_web.js';

const dense = (units, activation) => ({ type: 'dense', units, activation });
const block = [{ type: 'conv2d', filters: 32, kernel: 3, stride: 2 }, { type: 'group-norm', groups: 4, activation: 'relu' }];

/** New networks: those of the preset `sine` and of glyphs.toml, at outer rates that stay. */
const settings = {
  sine: {
    model: { input: [1], loss: 'mse', init: 'torch', layers: [dense(64, 'tanh'), dense(64, 'tanh'), dense(1, 'linear')] },
    tasks: { kind: 'sine', shots: 10 },
    inner: { optimizer: 'sgd', rate: 0.02, batch: 10, epochs: 1 },
    outer: { rate: 0.1, meta_batch: 4 },
    eval: { steps: 32, batch: 10 },
    iterations: 100000,
  },
  glyphs: {
    model: { input: [1, 28, 28], loss: 'cross-entropy', layers: [...block, ...block, ...block, ...block, dense(5, 'linear')] },
    tasks: { kind: 'glyphs', way: 5, shots: 1, train_shots: 10, size: 28 },
    inner: { optimizer: 'sgd', rate: 0.1, batch: 10, steps: 5 },
    outer: { rate: 0.5, meta_batch: 5 },
    eval: { steps: 20, batch: 5 },
    iterations: 100000,
  },
};

/** Emits `changed` with a kind as its detail, and `lost` with the browser's words. */
class Networks extends EventTarget {
  /** By kind: the network, and its last checkpoint. */
  #own = {};
  #saved = {};
  /** A network for curves that was never trained. */
  untrained = null;

  /** Loads the library, and the networks that come with the page. */
  async start() {
    await init();
    for (const kind of Object.keys(settings)) {
      const response = await fetch(`${kind}.safetensors`);
      if (!response.ok) throw new Error(`${kind}.safetensors: the server says ${response.status}`);
      this.#saved[kind] = new Uint8Array(await response.arrayBuffer());
    }
    await this.restart();
  }

  /** Opens a GPU, with the networks as they were saved at last. */
  async restart() {
    const [first, ...others] = Object.keys(settings);
    const own = { [first]: await Reptile.create({ checkpoint: this.#saved[first] }) };
    own[first].lost.then((why) => this.dispatchEvent(new CustomEvent('lost', { detail: why })));
    for (const kind of others) own[kind] = await own[first].another({ checkpoint: this.#saved[kind] });
    const untrained = await own.sine.another({ ...settings.sine, seed: 1 });
    [this.#own, this.untrained] = [own, untrained];
    for (const kind of Object.keys(settings)) this.#changed(kind);
  }

  get(kind) {
    return this.#own[kind];
  }

  get device() {
    return this.#own.sine.device || 'a GPU that your browser does not name';
  }

  /** A new network in the place of the one of this kind. */
  async renew(kind) {
    const seed = Math.floor(Math.random() * 2 ** 31);
    this.#own[kind] = await this.#own[kind].another({ ...settings[kind], seed });
    this.#changed(kind);
  }

  /** Keeps the network of this kind as it is now. */
  async keep(kind) {
    this.#saved[kind] = await this.#own[kind].save();
    return this.#saved[kind];
  }

  /** The network of this kind as it was kept at last. */
  async goBack(kind) {
    this.#own[kind] = await this.#own[kind].another({ checkpoint: this.#saved[kind] });
    this.#changed(kind);
  }

  /** Takes the network of a checkpoint's bytes; says of which kind it is. */
  async load(bytes) {
    const own = await this.#own.sine.another({ checkpoint: bytes });
    const { input, outputs } = own.shape;
    const kind = { '1 1': 'sine', '1,28,28 5': 'glyphs' }[`${input} ${outputs}`];
    if (!kind) {
      own.free();
      throw new Error(
        `this network has ${input.join(' × ')} inputs and ${outputs} outputs; the page has use for 1 and 1 (curves), or 1 × 28 × 28 and 5 (characters)`,
      );
    }
    this.#own[kind] = own;
    this.#saved[kind] = bytes;
    this.#changed(kind);
    return kind;
  }

  /** The network of this kind is another one, or knows more. */
  #changed(kind) {
    this.dispatchEvent(new CustomEvent('changed', { detail: kind }));
  }

  /** Tells the other tabs that a training went on. */
  trained(kind) {
    this.#changed(kind);
  }
}

export const networks = new Networks();
