// Characters of the visitor's own, told apart.
import { networks } from './networks.js';
import { latest } from './status.js';
import { Strokes } from './strokes.js';

const LETTERS = 'ABCDE';
/** Examples of a character, at most. */
const MOST = 4;

const [ways, hint, classes, bars, verdict] = ['ways', 'hint', 'classes', 'bars', 'verdict'].map((id) => document.getElementById(id));
const query = new Strokes(document.getElementById('query'), () => update());
/** Strokes of each class. */
let examples = [];
/** Whether examples are others than those that the network was told. */
let told = false;

const changed = () => {
  told = false;
  update();
};

function example(own, box, number) {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height, canvas.tabIndex] = [112, 112, 0];
  canvas.id = `example-${number}-${own.length}`;
  canvas.setAttribute('aria-label', `Example ${own.length + 1} of ${LETTERS[number]}; Delete clears it`);
  box.insertBefore(canvas, box.lastChild);
  own.push(new Strokes(canvas, changed));
}

/** As many empty boxes as characters are wanted. */
function lay() {
  classes.replaceChildren();
  examples = Array.from({ length: Number(ways.value) }, (_, number) => {
    const [box, name, more, own] = [...['div', 'h2', 'button'].map((tag) => document.createElement(tag)), []];
    [name.textContent, more.type, more.textContent] = [LETTERS[number], 'button', 'One more'];
    more.addEventListener('click', () => {
      example(own, box, number);
      more.hidden = own.length === MOST;
    });
    box.append(name, more);
    classes.append(box);
    example(own, box, number);
    return own;
  });
  bars.replaceChildren(...examples.map((_, number) => {
    const bar = document.createElement('li');
    bar.innerHTML = `<span>${LETTERS[number]}</span><i></i><b></b>`;
    return bar;
  }));
  query.clear();
  changed();
}

function show(shares) {
  shares.forEach((share, number) => {
    const [, bar, text] = bars.children[number].children;
    bar.style.setProperty('--share', `${100 * share}%`);
    text.textContent = shares.some((it) => it > 0) ? `${Math.round(100 * share)} %` : '';
  });
}

const update = latest(async () => {
  const drawn = examples.map((own) => own.filter((it) => !it.empty));
  const missing = LETTERS.slice(0, drawn.length).split('').filter((_, number) => drawn[number].length === 0);
  if (missing.length || query.empty) {
    show(drawn.map(() => 0));
    verdict.textContent = '';
    hint.textContent = missing.length ? `Draw an example of ${missing.join(', ')}.` : 'Now draw one of them again, on the right.';
    return;
  }
  const net = networks.get('glyphs');
  if (!told) {
    told = true;
    const x = drawn.flat().flatMap((it) => [...it.image()]);
    const y = drawn.flatMap((own, number) => own.map(() => number));
    await net.adapt(Float32Array.from(x), Float32Array.from(y), { classes: drawn.length });
  }
  const logits = [...await net.predict(query.image())].slice(0, drawn.length);
  const highest = Math.max(...logits);
  const powers = logits.map((it) => Math.exp(it - highest));
  const sum = powers.reduce((a, b) => a + b);
  const shares = powers.map((it) => it / sum);
  show(shares);
  verdict.textContent = `It is ${LETTERS[shares.indexOf(Math.max(...shares))]}.`;
  hint.textContent = '';
});

ways.addEventListener('change', lay);
document.getElementById('clear').addEventListener('click', lay);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => [query, ...examples.flat()].forEach((it) => it.show()));
networks.addEventListener('changed', ({ detail }) => detail === 'glyphs' && changed());
lay();
