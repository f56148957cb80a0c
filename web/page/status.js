// What the page has to say, in one line.
const line = document.getElementById('status');

/** Says `text`; without one the line is emptied. */
export function say(text = '') {
  line.textContent = text;
  line.className = '';
}

/** Says what went wrong. */
export function complain(error) {
  line.textContent = error?.message ?? String(error);
  line.className = 'wrong';
}

let works = 0;

/** Says to those who ask whether anything is going on. */
function busy(more) {
  works += more;
  document.querySelector('main').setAttribute('aria-busy', works > 0);
}

/** A function that does `work` again as often as it is called, one at a time, the last call at the end; what goes wrong is said. */
export function latest(work) {
  let [going, again] = [false, false];
  return async () => {
    if (going) {
      again = true;
      return;
    }
    going = true;
    busy(1);
    do {
      again = false;
      try {
        await work();
      } catch (error) {
        complain(error);
      }
    } while (again);
    going = false;
    busy(-1);
  };
}
