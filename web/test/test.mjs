// What pages are given, in headless Chromium: the library, then the page. Usage: node test.mjs PROGRAM [WORD of the tests' names]
import { finish } from './browser.mjs';

// One behind the other: what is imported side by side runs side by side, and only the page in front draws frames.
await import('./library.mjs');
await import('./page.mjs');
await finish();
