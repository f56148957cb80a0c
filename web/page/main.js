// The page: its tabs, and what it says where there is no GPU.
import { networks } from './networks.js';
import { complain, say } from './status.js';

const [main, without, lost] = ['main', '#without', '#lost'].map((it) => document.querySelector(it));
const tabs = [...document.querySelectorAll('[role=tab]')];

function choose(tab, focus = false) {
  for (const other of tabs) {
    const own = other === tab;
    other.setAttribute('aria-selected', own);
    other.tabIndex = own ? 0 : -1;
    document.getElementById(other.getAttribute('aria-controls')).hidden = !own;
  }
  if (focus) tab.focus();
}
tabs.forEach((tab, at) => {
  tab.addEventListener('click', () => choose(tab));
  tab.addEventListener('keydown', ({ key }) => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[key];
    if (to !== undefined) choose(tabs.at(to % tabs.length), true);
  });
});

networks.addEventListener('lost', ({ detail }) => {
  lost.firstElementChild.textContent = `The GPU was lost${detail ? ` (${detail})` : ''}; the networks are kept as they were a few seconds ago at most.`;
  lost.hidden = false;
});
lost.querySelector('button').addEventListener('click', async ({ target }) => {
  target.disabled = true;
  try {
    await networks.restart();
    lost.hidden = true;
    say('Restarted.');
  } catch (error) {
    complain(error);
  }
  target.disabled = false;
});

/** Why there is no GPU, or nothing. */
async function missing() {
  if (!isSecureContext) return 'WebGPU needs https, or localhost.';
  if (!navigator.gpu) return 'This browser has no WebGPU.';
  if (!(await navigator.gpu.requestAdapter())) return 'This browser has WebGPU, but it offers no GPU here.';
  return null;
}

const why = await missing().catch((error) => error.message);
if (why) {
  say();
  document.getElementById('why').textContent = why;
  without.hidden = false;
} else {
  try {
    await networks.start();
    for (const id of ['device', 'adapter']) document.getElementById(id).textContent = networks.device;
    main.hidden = false;
    await Promise.all(['./draw.js', './curve.js', './train.js'].map((it) => import(it)));
    say();
  } catch (error) {
    complain(error);
  }
}
