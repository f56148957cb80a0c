// A canvas to draw on, and the drawing as an image that the network reads.

/** Side of the image, and the strokes' width in sides of it: what glyphs have. */
const SIZE = 28;
const WIDTH = 0.045;

/** Lines on `canvas`, in sides of it; `changed` is told of every move, and of the end of a line. */
export class Strokes {
  #lines = [];
  #canvas;

  constructor(canvas, changed) {
    this.#canvas = canvas;
    // One finger draws at a time.
    let [line, finger] = [null, null];
    const point = ({ clientX, clientY }) => {
      const box = canvas.getBoundingClientRect();
      return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
    };
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0 || line) return;
      finger = event.pointerId;
      canvas.setPointerCapture(event.pointerId);
      line = [point(event)];
      this.#lines.push(line);
      this.show();
    });
    canvas.addEventListener('pointermove', (event) => {
      if (!line || event.pointerId !== finger) return;
      for (const one of event.getCoalescedEvents?.() ?? [event]) line.push(point(one));
      this.show();
      changed();
    });
    for (const end of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(end, ({ pointerId }) => {
        if (!line || pointerId !== finger) return;
        line = null;
        changed();
      });
    }
    canvas.addEventListener('keydown', (event) => {
      if (event.key !== 'Delete' && event.key !== 'Backspace') return;
      event.preventDefault();
      this.clear();
      changed();
    });
    this.show();
  }

  get empty() {
    return this.#lines.length === 0;
  }

  clear() {
    this.#lines = [];
    this.show();
  }

  /** Draws the lines, in the page's colours. */
  show() {
    const context = this.#canvas.getContext('2d');
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.strokeStyle = getComputedStyle(this.#canvas).color;
    this.#stroke(context, this.#canvas.width, (point) => point);
  }

  #stroke(context, side, place) {
    context.setTransform(side, 0, 0, side, 0, 0);
    [context.lineWidth, context.lineCap, context.lineJoin] = [WIDTH, 'round', 'round'];
    for (const line of this.#lines) {
      context.beginPath();
      context.moveTo(...place(line[0]));
      // A click is a dot.
      for (const point of line.length > 1 ? line.slice(1) : line) context.lineTo(...place(point));
      context.stroke();
    }
    context.resetTransform();
  }

  /** The drawing in the middle of an image `[1, 28, 28]`, as large as glyphs are: 1 is paper, 0 is ink. */
  image() {
    const points = this.#lines.flat();
    const [left, top, right, bottom] = [0, 1].map((axis) => Math.min(...points.map((it) => it[axis])))
      .concat([0, 1].map((axis) => Math.max(...points.map((it) => it[axis]))));
    const scale = Math.min(2, Math.max(0.5, 0.6 / Math.max(right - left, bottom - top, 1e-3)));
    const middle = [(left + right) / 2, (top + bottom) / 2];
    const place = (point) => point.map((it, axis) => 0.5 + scale * (it - middle[axis]));
    const context = new OffscreenCanvas(SIZE, SIZE).getContext('2d', { willReadFrequently: true });
    this.#stroke(context, SIZE, place);
    const { data } = context.getImageData(0, 0, SIZE, SIZE);
    return Float32Array.from({ length: SIZE * SIZE }, (_, at) => 1 - data[4 * at + 3] / 255);
  }
}
