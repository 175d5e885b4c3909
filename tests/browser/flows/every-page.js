// What every page of the list must keep, in both languages and colours: accessible, nothing wider than the window, nothing
// that moves by itself, no more than 150 kB, nothing refused by its own policy.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { assertAccessible } from '../lib/axe.js';
import { LANGUAGES, THEMES, Visitor, WIDTHS, memberCookies } from '../lib/browser.js';
import { assertFits, weigh } from '../lib/measure.js';
import { PAGES, address } from '../lib/pages.js';
import { seeded } from '../lib/seed.js';
import { test } from '../lib/test.js';

/** What a first load may weigh. */
const HEAVIEST_BYTES = 150_000;
/** What nobody sees: a word that settles by a part of a pixel. */
const UNSEEN = 0.0005;

describe('every page', () => {
  let places;
  before(async () => { places = await seeded(); });

  for (const language of LANGUAGES) {
    for (const theme of THEMES) {
      describe(`in ${language === 'ko' ? 'Korean' : 'English'}, ${theme}`, () => {
        const visitors = {};
        before(async () => {
          visitors.guest = await Visitor.arrive({ language, theme });
          visitors.member = await Visitor.arrive({ language, theme, cookies: await memberCookies() });
        });
        after(async () => { for (const visitor of Object.values(visitors)) await visitor.leave(); });

        for (const page of PAGES) {
          const visitor = () => (page.guests ? visitors.guest : visitors.member);
          test(`${page.name} is accessible, still and fits`, () => look(visitor(), address(page, places)));
        }
      });
    }
  }
});

async function look(visitor, path) {
  await visitor.page.setViewportSize({ width: 1440, height: 900 });
  const scale = await weigh(visitor);
  const response = await visitor.open(path);
  assert.equal(response.status(), 200, path);
  assert.equal(await visitor.page.locator('html').getAttribute('lang'), visitor.language);
  await visitor.page.waitForTimeout(150); // what is late must not move anything either
  assert.deepEqual((await visitor.shifts()).filter(({ value }) => value > UNSEEN), [], `${path} moves`);
  await scale.end();
  assert.ok(scale.bytes() <= HEAVIEST_BYTES, `${path} weighs ${scale.bytes()} bytes`);
  await assertAccessible(visitor.page, `${path} at 1440 px`);
  for (const width of WIDTHS) {
    await visitor.page.setViewportSize({ width, height: 844 });
    await visitor.settle();
    await assertFits(visitor.page, `${path} at ${width} px`);
  }
  await visitor.page.setViewportSize({ width: 390, height: 844 });
  await assertAccessible(visitor.page, `${path} at 390 px`);
  await visitor.assertQuiet(path);
}
