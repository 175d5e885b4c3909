// The pages of a Naru that was started on an empty folder a moment ago, in the order in which a person meets them. Each
// file owns one subject; later ones rely on what earlier ones made.

import { after } from 'node:test';

import { stopBrowser } from './lib/browser.js';

const FLOWS = ['first-start', 'delivery', 'about', 'people', 'every-page', 'keyboard', 'no-script'];

/** What was asked for; the first start makes the account that everything else needs. */
const wanted = (process.env.NARU_FLOWS ?? '').split(',').filter(Boolean);
const unknown = wanted.filter((flow) => !FLOWS.includes(flow));
if (unknown.length > 0) throw new Error(`there is no flow ${unknown.join(', ')}; there are ${FLOWS.join(', ')}`);

after(stopBrowser);
for (const flow of FLOWS) {
  if (wanted.length === 0 || flow === 'first-start' || wanted.includes(flow)) await import(`./flows/${flow}.js`);
}
