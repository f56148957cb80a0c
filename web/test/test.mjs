// What pages are given, in headless Chromium: the library, then the page. Usage: node test.mjs PROGRAM [WORD of the tests' names]
import { finish } from './browser.mjs';
import './library.mjs';
import './page.mjs';

await finish();
