// Without JavaScript: every page is complete, and the forms do what they say.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { Visitor } from '../lib/browser.js';
import { PAGES, address } from '../lib/pages.js';
import { seeded } from '../lib/seed.js';

describe('without JavaScript', () => {
  let visitor;
  let places;
  before(async () => {
    places = await seeded();
    visitor = await Visitor.arrive({ script: false });
    await visitor.logIn();
  });
  after(() => visitor.leave());

  for (const page of PAGES.filter(({ guests }) => !guests)) {
    it(`${page.name} is complete`, async () => {
      const response = await visitor.open(address(page, places));
      assert.equal(response.status(), 200);
      assert.ok((await visitor.page.locator('h1').first().innerText()).trim(), 'it has a heading');
      await visitor.assertQuiet(page.name);
    });
  }
});
