// Everything by the keyboard alone: what can be used can be reached, is seen when it is reached, and lets go again.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { assertAccessible } from '../lib/axe.js';
import { Visitor, memberCookies } from '../lib/browser.js';
import { PAGES, address } from '../lib/pages.js';
import { seeded } from '../lib/seed.js';
import { test } from '../lib/test.js';

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
    test(`reaches everything of ${page.name}, in sight`, async () => {
      await visitor.open(address(page, places));
      const { missed, unseen } = await walk(visitor.page);
      assert.deepEqual(missed, [], 'cannot be reached with the tabulator');
      assert.deepEqual(unseen, [], 'is reached but cannot be seen to be');
      await visitor.assertQuiet(page.name);
    });
  }

  test('searches with a slash, and is let go by escape', async () => {
    await visitor.open('/');
    await visitor.page.keyboard.press('/');
    assert.equal(await focused('name'), 'q');
    await visitor.page.keyboard.type(places.project);
    await visitor.page.keyboard.press('Enter');
    await visitor.page.waitForURL((url) => url.pathname === '/projects' && url.searchParams.get('q') === places.project);
    await visitor.page.getByRole('row', { name: places.project }).waitFor();
    await visitor.page.keyboard.press('/');
    await visitor.page.keyboard.press('Escape');
    assert.equal(await focused('name'), null);
    await visitor.assertQuiet('a search');
  });

  test('lists its keys', async () => {
    const keys = visitor.page.getByRole('dialog', { name: 'Keyboard' });
    await visitor.page.keyboard.press('?');
    await keys.waitFor();
    await assertAccessible(visitor.page, 'the list of keys');
    await visitor.page.keyboard.press('Escape');
    await keys.waitFor({ state: 'hidden' });
  });

  test('goes where the keys say', async () => {
    const at = (path) => visitor.page.waitForURL((url) => url.pathname === path);
    const press = async (...keys) => { for (const key of keys) await visitor.page.keyboard.press(key); };
    const arrived = () => visitor.page.locator('body:not([aria-busy])').waitFor();
    await visitor.open('/');
    for (const [keys, path] of [
      [['g', 'p'], '/projects'],
      [['g', 'n'], '/new'],
    ]) {
      await press(...keys);
      await at(path);
      await arrived();
    }
    // The name's field has the focus: letters are letters there.
    await press('g', 'h');
    assert.equal(await visitor.page.getByLabel('Name', { exact: true }).inputValue(), 'gh');
    await press('Escape', 'g', 'h');
    await at('/');
    await visitor.open(address({ name: 'environment', path: '/projects/{project}/environments/{environment}' }, places));
    for (const [keys, path] of [
      [['g', 'v'], `/projects/${places.project}/environments/${places.environment}/revisions`],
      [['u'], `/projects/${places.project}/environments/${places.environment}`],
      [['u'], `/projects/${places.project}`],
      [['g', 'r'], `/projects/${places.project}/runs`],
    ]) {
      await press(...keys);
      await at(path);
      await arrived();
    }
    await visitor.assertQuiet('keys');
  });

  const focused = (attribute) => visitor.page.evaluate((name) => document.activeElement?.getAttribute(name), attribute);
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
  const usable = ':is(a[href], button, input:not([type=hidden]), select, textarea, summary):not([tabindex="-1"]), [tabindex="0"]';
  const inGroup = (element) => element.type === 'radio' && !element.checked; // arrows lead there
  window.__stops = [...document.querySelectorAll(usable)]
    .filter((element) => element.checkVisibility({ visibilityProperty: true }) && !element.disabled && !inGroup(element))
    .map((element) => ({ element, what: element.outerHTML.slice(0, 120), reached: false }));
  // The tabulator goes on from where the focus was last: from before everything.
  const before = document.createElement('span');
  before.tabIndex = -1;
  document.body.prepend(before);
  before.focus();
  before.remove();
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
