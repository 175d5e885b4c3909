// Tests that leave something to look at when they fail: a picture of every page that is open, and where each of them is.

import { it } from 'node:test';

import { evidence } from './browser.js';

/** The same as node's own `it`. */
export function test(name, what) {
  it(name, () => witnessed(name, what));
}

/** Tests that follow from each other: after the first that fails, the others say only that. */
export function story() {
  let failed;
  return (name, what) => it(name, async () => {
    if (failed) throw new Error(`not tried: "${failed}" failed before`);
    failed = name;
    await witnessed(name, what);
    failed = undefined;
  });
}

async function witnessed(name, what) {
  try {
    await what();
  } catch (error) {
    for (const line of await evidence(name)) console.log(line);
    throw error;
  }
}
