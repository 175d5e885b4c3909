// Without JavaScript: every page is complete, and the forms do what they say.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { Visitor } from '../lib/browser.js';
import { PAGES, address } from '../lib/pages.js';
import { seeded } from '../lib/seed.js';
import { test } from '../lib/test.js';

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
    test(`${page.name} is complete`, async () => {
      const response = await visitor.open(address(page, places));
      assert.equal(response.status(), 200);
      assert.ok((await visitor.page.locator('h1').first().innerText()).trim(), 'it has a heading');
      await visitor.assertQuiet(page.name);
    });
  }

  test('a log is read page by page', async () => {
    await visitor.open(`/projects/${places.project}/runs/${places.run}?step=${places.step}`);
    const lines = visitor.page.locator('.line');
    assert.ok(await lines.getByText('cart::case_240').isVisible(), 'the end is there');
    assert.equal(await lines.getByText('cart::case_001').count(), 0, 'the beginning is not');
    await visitor.page.getByRole('link', { name: 'Earlier lines' }).click();
    assert.ok(await lines.getByText('cart::case_001').isVisible(), 'the beginning is a link away');
    assert.equal(await visitor.page.getByRole('searchbox', { name: 'Find in the log' }).isVisible(), false, 'what needs the script is not offered');
  });

  test('a list is searched', async () => {
    await visitor.open('/projects');
    await visitor.page.locator('main input[name=q]').fill('nothing-like-it');
    await visitor.page.locator('main').getByRole('button').first().click();
    await visitor.page.locator('main .empty').waitFor();
    assert.equal(new URL(visitor.page.url()).searchParams.get('q'), 'nothing-like-it');
  });
});
