// A curve through points of the visitor's, by a network that was meta-trained and by one that was not.
import { networks } from './networks.js';
import { latest } from './status.js';

const MOST = 10;
/** Places from -5 to 5 at which a curve is drawn. */
const PLACES = Float32Array.from({ length: 101 }, (_, i) => i / 10 - 5);

const [canvas, steps, said] = ['plot', 'steps', 'steps-said'].map((id) => document.getElementById(id));
/** `[x, y]`, each from -5 to 5. */
let points = [];
let chosen = -1;
let curves = { own: null, other: null };

const toPixel = ([x, y]) => [((x + 5) / 10) * canvas.width, ((5.5 - y) / 11) * canvas.height];
const limited = (value) => Math.max(-5, Math.min(5, value));

function draw() {
  const context = canvas.getContext('2d');
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`);
  context.clearRect(0, 0, canvas.width, canvas.height);
  const line = (curve, name, width) => {
    [context.strokeStyle, context.lineWidth] = [colour(name), width];
    context.beginPath();
    curve.forEach((point) => context.lineTo(...toPixel(point)));
    context.stroke();
  };
  line([[-5, 0], [5, 0]], 'line', 1);
  line([[0, -5.5], [0, 5.5]], 'line', 1);
  for (const [key, width] of [['other', 2], ['own', 3]]) {
    if (curves[key]) line([...PLACES].map((x, at) => [x, curves[key][at]]), key, width);
  }
  points.forEach((point, number) => {
    context.fillStyle = colour('ink');
    context.beginPath();
    context.arc(...toPixel(point), number === chosen ? 8 : 6, 0, 7);
    context.fill();
  });
}

const update = latest(async () => {
  draw();
  if (points.length === 0) {
    curves = { own: null, other: null };
  } else {
    const [x, y] = [0, 1].map((axis) => Float32Array.from(points, (it) => it[axis]));
    const options = { steps: Number(steps.value) };
    const of = async (net) => {
      await net.adapt(x, y, options);
      return net.predict(PLACES);
    };
    curves = { own: await of(networks.get('sine')), other: await of(networks.untrained) };
  }
  draw();
});

function add(point) {
  if (points.length === MOST) return;
  points.push(point);
  chosen = points.length - 1;
  update();
}

function remove(number) {
  points.splice(number, 1);
  chosen = Math.min(chosen, points.length - 1);
  update();
}

const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return [limited(((event.clientX - box.left) / box.width) * 10 - 5), limited(5.5 - ((event.clientY - box.top) / box.height) * 11)];
};
const near = (event) => {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  const distances = points.map((it) => Math.hypot(toPixel(it)[0] - x, toPixel(it)[1] - y));
  const least = Math.min(...distances);
  return least < 16 ? distances.indexOf(least) : -1;
};
/** The finger that drags a point. */
let dragged = null;
canvas.addEventListener('pointerdown', (event) => {
  if (event.button !== 0 || dragged !== null) return;
  canvas.setPointerCapture(event.pointerId);
  chosen = near(event);
  if (chosen < 0) add(place(event));
  dragged = chosen >= 0 ? event.pointerId : null;
});
canvas.addEventListener('pointermove', (event) => {
  if (event.pointerId !== dragged || !points[chosen]) return;
  points[chosen] = place(event);
  update();
});
for (const end of ['pointerup', 'pointercancel']) {
  canvas.addEventListener(end, ({ pointerId }) => {
    if (pointerId === dragged) dragged = null;
  });
}
canvas.addEventListener('dblclick', (event) => near(event) >= 0 && remove(near(event)));
canvas.addEventListener('keydown', (event) => {
  const by = { ArrowLeft: [-0.2, 0], ArrowRight: [0.2, 0], ArrowUp: [0, 0.2], ArrowDown: [0, -0.2] }[event.key];
  if (by && points[chosen]) {
    points[chosen] = points[chosen].map((value, axis) => limited(value + by[axis]));
    update();
  } else if (event.key === 'Enter') {
    add([0, 0]);
  } else if ((event.key === '[' || event.key === ']') && points.length) {
    chosen = (chosen + (event.key === ']' ? 1 : points.length - 1)) % points.length;
    draw();
  } else if ((event.key === 'Delete' || event.key === 'Backspace') && points[chosen]) {
    remove(chosen);
  } else {
    return;
  }
  event.preventDefault();
});
steps.addEventListener('input', () => {
  said.textContent = steps.value;
  update();
});
document.getElementById('forget').addEventListener('click', () => {
  points = [];
  update();
});
document.getElementById('wave').addEventListener('click', () => {
  const [height, phase] = [1 + 3 * Math.random(), 6 * Math.random()];
  points = Array.from({ length: MOST }, (_, i) => [i - 4.5, height * Math.sin(i - 4.5 + phase)]);
  update();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
networks.addEventListener('changed', ({ detail }) => detail === 'sine' && update());
draw();

/** For those who look on from outside: the points and the curves. */
export const state = () => ({ points, ...curves });
