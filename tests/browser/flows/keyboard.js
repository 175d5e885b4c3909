// Everything by the keyboard alone: what can be used can be reached, is seen when it is reached, and lets go again.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { Visitor, memberCookies } from '../lib/browser.js';
import { PAGES, address } from '../lib/pages.js';
import { seeded } from '../lib/seed.js';

/** More stops than any page has. */
const MOST_STOPS = 400;

describe('keyboard', () => {
  let visitor;
  let places;
  before(async () => {
    places = await seeded();
    visitor = await Visitor.arrive({ cookies: await memberCookies() });
  });
  after(() => visitor.leave());

  for (const page of PAGES.filter(({ guests }) => !guests)) {
    it(`reaches everything of ${page.name}, in sight`, async () => {
      await visitor.open(address(page, places));
      const { missed, unseen } = await walk(visitor.page);
      assert.deepEqual(missed, [], 'cannot be reached with the tabulator');
      assert.deepEqual(unseen, [], 'is reached but cannot be seen to be');
      await visitor.assertQuiet(page.name);
    });
  }
});

/** Presses the tabulator through the page; returns what was not reached and what did not show that it was. */
async function walk(page) {
  await page.evaluate(mark);
  const unseen = new Set();
  for (let stop = 0; ; stop++) {
    assert.ok(stop < MOST_STOPS, 'the keyboard does not get out of the page');
    await page.keyboard.press('Tab');
    const at = await page.evaluate(arrive);
    if (!at) break;
    if (!at.seen) unseen.add(at.what);
  }
  const missed = await page.evaluate(() => window.__stops.filter(({ reached }) => !reached).map(({ what }) => what));
  return { missed, unseen: [...unseen] };
}

/** In the page: notes what can be used by people who have a mouse. */
function mark() {
  const usable = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';
  const inGroup = (element) => element.type === 'radio' && !element.checked; // arrows lead there
  window.__stops = [...document.querySelectorAll(usable)]
    .filter((element) => element.checkVisibility({ visibilityProperty: true }) && !element.disabled && !inGroup(element))
    .map((element) => ({ element, what: element.outerHTML.slice(0, 120), reached: false }));
  document.activeElement?.blur();
  window.scrollTo(0, 0);
}

/** In the page: what has the focus now, and whether that can be seen; nothing when it has left the page. */
function arrive() {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const stop = window.__stops.find((one) => one.element === element);
  if (stop?.reached) return null; // around once
  if (stop) stop.reached = true;
  const style = getComputedStyle(element);
  const ring = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none';
  const box = element.getBoundingClientRect();
  const [x, y] = [box.x + Math.min(box.width, innerWidth) / 2, box.y + Math.min(box.height, 20) / 2];
  const top = document.elementFromPoint(x, y);
  const uncovered = top !== null && (element.contains(top) || top.contains(element) || element.labels?.[0]?.contains(top));
  return { what: `${element.outerHTML.slice(0, 120)} ring: ${ring}, uncovered: ${Boolean(uncovered)}`, seen: ring && Boolean(uncovered) };
}
