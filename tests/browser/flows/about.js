// What is said about a project, and the star that keeps it at hand: with the script, by the keyboard, and without a script.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { assertAccessible } from '../lib/axe.js';
import { Visitor, memberCookies } from '../lib/browser.js';
import { post } from '../lib/instance.js';
import { story } from '../lib/test.js';

const NAME = 'signpost';
const PROJECT = `/projects/${NAME}`;

describe('about a project', () => {
  const test = story();
  let visitor;
  before(async () => {
    await post('projects', { name: NAME });
    visitor = await Visitor.arrive({ cookies: await memberCookies() });
  });
  after(() => visitor.leave());

  test('an empty page teaches, and a refused form keeps what was typed', async () => {
    await visitor.open(PROJECT);
    await visitor.page.locator('.about').getByText('minji', { exact: true }).waitFor(); // who made it answers for it
    await visitor.page.getByRole('link', { name: 'Say it in the settings' }).click();
    await visitor.page.waitForURL((url) => url.pathname === `${PROJECT}/settings`);
    await visitor.page.getByLabel('What it is for, in one line').fill('Shows the way to the landing');
    await visitor.page.getByLabel('Contacts').fill('On call: oncall@example.com\njavascript:alert(1)');
    visitor.expected.add(400);
    await visitor.page.getByRole('button', { name: 'Save' }).first().click();
    await visitor.page.getByText('Line 2 has no e-mail address').waitFor();
    assert.equal(await visitor.page.getByLabel('What it is for, in one line').inputValue(), 'Shows the way to the landing');
    await assertAccessible(visitor.page, 'a refused form about a project');
    await visitor.assertQuiet('a refused form about a project');
    visitor.expected.delete(400);
  });

  test('what is said is read beneath the status, and links lead away without saying from where', async () => {
    await visitor.page.getByLabel('Contacts').fill('On call: oncall@example.com\nhttps://chat.example.com/signpost');
    await visitor.page.getByLabel('More about it').fill('<b>First</b>\n\nSee https://example.com/handbook.');
    await visitor.page.getByRole('button', { name: 'Save' }).first().click();
    await visitor.page.waitForURL((url) => url.pathname === PROJECT);
    await visitor.page.getByText('Shows the way to the landing').waitFor();
    await visitor.page.getByText('More about it').click();
    await visitor.page.getByText('<b>First</b>').waitFor();
    const link = visitor.page.getByRole('link', { name: 'https://example.com/handbook', exact: true });
    assert.equal(await link.getAttribute('rel'), 'noreferrer nofollow');
    assert.equal(await visitor.page.getByRole('link', { name: 'On call' }).getAttribute('href'), 'mailto:oncall@example.com');
    await assertAccessible(visitor.page, 'a project that is described');
    await visitor.assertQuiet('a project that is described');
  });

  test('a star is given by the keyboard, and the keyboard stays there', async () => {
    await visitor.open('/projects');
    const star = visitor.page.getByRole('button', { name: `Favourite: ${NAME}` });
    assert.equal(await star.getAttribute('aria-pressed'), 'false');
    await star.focus();
    await visitor.page.keyboard.press('Enter');
    await visitor.page.locator(`#star-${NAME}[aria-pressed=true]`).waitFor();
    await visitor.page.locator('body:not([aria-busy])').waitFor();
    assert.equal(await visitor.page.evaluate(() => document.activeElement?.id), `star-${NAME}`);
    await assertAccessible(visitor.page, 'a list with a favourite');
    await visitor.page.getByLabel('Favourites').check();
    await visitor.page.waitForURL((url) => url.searchParams.get('favourites') === 'true');
    await visitor.open('/');
    await visitor.page.locator('[data-live=favourites]').getByRole('link', { name: NAME }).waitFor();
    await assertAccessible(visitor.page, 'home with a favourite');
    await visitor.assertQuiet('a favourite');
  });

  test('it is taken back without a script', async () => {
    const plain = await Visitor.arrive({ script: false, cookies: await memberCookies() });
    await plain.open(PROJECT);
    await plain.page.getByRole('button', { name: `Favourite: ${NAME}` }).click();
    await plain.page.locator(`#star-${NAME}[aria-pressed=false]`).waitFor();
    assert.equal(new URL(plain.page.url()).pathname, PROJECT);
    await plain.assertQuiet('a star without a script');
    await plain.leave();
  });
});
