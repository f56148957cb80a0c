// Meta-training, live; checkpoints in and out.
import { networks } from './networks.js';
import { complain, say } from './status.js';

const [kind, from, go, canvas, iterations, speed, loss, save, load] = ['kind', 'from', 'go', 'losses', 'iterations', 'speed', 'loss', 'save', 'load']
  .map((id) => document.getElementById(id));
/** `[iteration, before, after]`, at most so many; then every other one goes. */
const MOST = 600;
/** Milliseconds between two copies that outlast a lost GPU. */
const KEPT = 5000;

let [history, every, training] = [[], 1, false];

function draw() {
  const context = canvas.getContext('2d');
  const style = getComputedStyle(document.documentElement);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (history.length < 2) return;
  const [first, last] = [history[0][0], history.at(-1)[0]];
  const most = Math.max(...history.map((it) => Math.max(it[1], it[2])));
  [['other', 1], ['own', 2]].forEach(([name, column]) => {
    [context.strokeStyle, context.lineWidth] = [style.getPropertyValue(`--${name}`), 2];
    context.beginPath();
    let smooth = history[0][column];
    for (const row of history) {
      smooth += 0.15 * (row[column] - smooth);
      context.lineTo(((row[0] - first) / (last - first)) * canvas.width, canvas.height - 8 - (smooth / most) * (canvas.height - 16));
    }
    context.stroke();
  });
}

const numbers = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

async function train() {
  const own = kind.value;
  if (from.value === 'nothing') await networks.renew(own);
  from.value = 'this';
  const net = networks.get(own);
  const tasks = net.shape.metaBatch;
  [history, every] = [[], 1];
  let [seen, begin, kept, number] = [net.iteration, performance.now(), performance.now(), 0];
  say(`Training on ${kind.selectedOptions[0].textContent} …`);
  await net.train(Number.MAX_SAFE_INTEGER, ({ iteration, first, last }) => {
    number += 1;
    if (number % every === 0) history.push([iteration, first, last]);
    if (history.length > MOST) {
      history = history.filter((_, at) => at % 2 === 0);
      every *= 2;
    }
    iterations.textContent = numbers.format(iteration);
    loss.textContent = last.toFixed(3);
    const now = performance.now();
    if (now - begin > 500) {
      speed.textContent = numbers.format((1000 * tasks * (iteration - seen)) / (now - begin));
      [seen, begin] = [iteration, now];
      draw();
    }
    if (now - kept > KEPT) {
      kept = now;
      networks.keep(own).catch(complain);
      networks.trained(own);
    }
    return training;
  });
  await networks.keep(own);
  networks.trained(own);
  draw();
}

go.addEventListener('click', async () => {
  if (training) {
    training = false;
    return;
  }
  training = true;
  [go.textContent, kind.disabled, from.disabled, load.disabled] = ['Pause', true, true, true];
  try {
    await train();
    say('Paused; what was learned is in use.');
  } catch (error) {
    complain(error);
    // Numbers that are none are of no use to anybody.
    if (error.message?.includes('diverged')) {
      const before = () => complain(new Error(`${error.message}; the network is as it was before`));
      await networks.goBack(kind.value).then(before, complain);
    }
  }
  training = false;
  [go.textContent, kind.disabled, from.disabled, load.disabled] = ['Train', false, false, false];
});
save.addEventListener('click', async () => {
  try {
    const own = kind.value;
    const bytes = await networks.keep(own);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([bytes]));
    link.download = `${own}-${networks.get(own).iteration}.safetensors`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`Saved as ${link.download}.`);
  } catch (error) {
    complain(error);
  }
});
load.addEventListener('change', async () => {
  const [file] = load.files;
  if (!file) return;
  try {
    kind.value = await networks.load(new Uint8Array(await file.arrayBuffer()));
    say(`${file.name} is in use for ${kind.selectedOptions[0].textContent}.`);
  } catch (error) {
    complain(new Error(`${file.name}: ${error.message}`));
  }
  load.value = '';
});
const count = () => {
  iterations.textContent = numbers.format(networks.get(kind.value).iteration);
};
networks.addEventListener('changed', ({ detail }) => detail === kind.value && count());
kind.addEventListener('change', count);
count();
