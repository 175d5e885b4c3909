// From the link that the server prints to the first account.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { assertAccessible } from '../lib/axe.js';
import { Visitor } from '../lib/browser.js';
import { administrator, instance, logIn, setupLink } from '../lib/instance.js';
import { story } from '../lib/test.js';

describe('first start', () => {
  const test = story();
  let visitor;
  before(async () => { visitor = await Visitor.arrive(); });
  after(() => visitor.leave());

  test('has no account yet and says how to make one', async () => {
    await visitor.open('/');
    await visitor.page.getByText('setup link').first().waitFor();
    await assertAccessible(visitor.page, 'before the first account');
    await visitor.assertQuiet('before the first account');
  });

  test('keeps what was typed and says what would be accepted', async () => {
    await visitor.open(await setupLink());
    visitor.expected.add(400);
    await visitor.page.locator('input[name=login]').fill('minji');
    const password = visitor.page.locator('input[name=password]');
    await password.evaluate((field) => field.removeAttribute('minlength'));
    await password.fill('short');
    await password.press('Enter');
    await visitor.page.locator('[name=password][aria-invalid=true]').waitFor();
    assert.equal(await visitor.page.locator('input[name=login]').inputValue(), 'minji');
    assert.equal(await visitor.page.locator('input[name=password]').inputValue(), '');
    await assertAccessible(visitor.page, 'a refused form');
    await visitor.assertQuiet('a refused form');
  });

  test('makes the first account with the keyboard alone', async () => {
    await visitor.open(await setupLink());
    assert.equal(await visitor.page.evaluate(() => document.activeElement?.getAttribute('name')), 'login');
    await visitor.page.keyboard.type(administrator.login);
    await visitor.page.keyboard.press('Tab');
    await visitor.page.keyboard.type(administrator.password);
    await visitor.page.keyboard.press('Enter');
    await visitor.page.getByRole('heading', { name: 'The account is ready' }).waitFor();
    await assertAccessible(visitor.page, 'the account is ready');
    await visitor.assertQuiet('the account is ready');
    await logIn();
    assert.ok(administrator.token, 'the account logs in');
    assert.equal(new URL(visitor.page.url()).origin, instance.url);
  });
});
