// What a page weighs and whether it fits: measured in the browser, as a visitor without anything in the cache gets it.

import assert from 'node:assert/strict';

/** Counts the bytes that come over the wire, headers included, from the next page on. */
export async function weigh(visitor) {
  const session = await visitor.session();
  await session.send('Network.enable');
  await session.send('Network.setCacheDisabled', { cacheDisabled: true });
  let bytes = 0;
  // Streams that stay open have not finished; what they said is no part of the first load.
  session.on('Network.loadingFinished', ({ encodedDataLength }) => { bytes += encodedDataLength; });
  return { bytes: () => bytes, end: () => session.detach() };
}

/** Fails when something is wider than the window, with the elements that are. */
export async function assertFits(page, where) {
  const wide = await page.evaluate(() => {
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room) return [];
    return [...document.querySelectorAll('body *')]
      .filter((element) => element.getBoundingClientRect().right > room + 0.5)
      .slice(0, 8)
      .map((element) => `${element.outerHTML.slice(0, 100)} ends at ${Math.round(element.getBoundingClientRect().right)} px`);
  });
  assert.deepEqual(wide, [], where);
}
