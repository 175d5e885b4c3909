// Who may come in, and who has to go: an invitation that is accepted, one that is taken back, a member who is removed, a
// token that is revoked. What is taken away stops working at once.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { assertAccessible } from '../lib/axe.js';
import { Visitor } from '../lib/browser.js';
import { instance } from '../lib/instance.js';
import { story } from '../lib/test.js';

const ORGANISATION = '/organisations/main';
/** What flows/delivery.js made. */
const PROJECT = '/projects/ferry';
const JUN = { login: 'jun', password: 'across before sunrise' };

describe('people', () => {
  const test = story();
  let owner;
  let jun;
  before(async () => {
    owner = await Visitor.arrive();
    await owner.logIn(); // rights are given by who logged in a moment ago
    jun = await Visitor.arrive({ language: 'ko' });
  });
  after(async () => {
    await owner.leave();
    await jun.leave();
  });

  const invite = async (whom) => {
    await owner.open(ORGANISATION);
    await owner.page.getByLabel('For whom').fill(whom);
    await owner.page.getByRole('button', { name: 'Make the link' }).click();
    const link = owner.page.getByRole('status').locator('pre.command');
    await link.waitFor();
    return link.evaluate((element) => element.firstChild.data);
  };

  test('an invitation makes an account that sees the projects', async () => {
    const link = await invite('jun@example.com');
    await assertAccessible(owner.page, 'an invitation that was made');
    await owner.assertQuiet('an invitation');
    await jun.open(link);
    await assertAccessible(jun.page, 'an invitation that is looked at');
    await jun.page.locator('input[name=login]').fill(JUN.login);
    await jun.page.locator('input[name=password]').fill(JUN.password);
    await jun.page.locator('input[name=password]').press('Enter');
    await jun.page.waitForURL((url) => url.pathname === ORGANISATION);
    await jun.open(PROJECT);
    await jun.page.getByText('production 환경: 릴리스 3 운영 중').waitFor();
    await jun.assertQuiet('a new member');
  });

  test('what a role does not allow is not offered, and refused', async () => {
    const tabs = jun.page.getByRole('navigation', { name: '하위 메뉴' });
    assert.equal(await tabs.getByRole('link', { name: '설정', exact: true }).count(), 0, 'settings are not offered');
    jun.expected.add(403);
    const response = await jun.open(`${PROJECT}/settings`);
    assert.equal(response.status(), 403);
    await assertAccessible(jun.page, 'a refusal');
    jun.expected.delete(403);
    await jun.assertQuiet('a refusal');
  });

  test('an invitation that is taken back leads nowhere', async () => {
    const link = await invite('hana@example.com');
    await owner.page.getByRole('row', { name: 'hana@example.com' }).getByRole('button', { name: 'Take back' }).click();
    await owner.page.getByRole('row', { name: 'hana@example.com' }).waitFor({ state: 'detached' });
    await owner.assertQuiet('an invitation that was taken back');
    const guest = await Visitor.arrive();
    guest.expected.add(403);
    const response = await guest.open(link);
    assert.equal(response.status(), 403);
    assert.equal(await guest.page.locator('input[name=password]').count(), 0, 'no account can be made');
    await assertAccessible(guest.page, 'a link that does not work any more');
    await guest.assertQuiet('a link that does not work any more');
    await guest.leave();
  });

  test('a member who is removed is out, also where a page is open', async () => {
    await jun.open(PROJECT);
    await owner.open(ORGANISATION);
    const row = owner.page.getByRole('row', { name: JUN.login });
    await row.getByText('Change', { exact: true }).click();
    await row.getByRole('button', { name: 'Remove from the organisation' }).click();
    await row.waitFor({ state: 'detached' });
    await owner.assertQuiet('a member who was removed');
    jun.expected.add(404);
    const response = await jun.open(PROJECT);
    assert.equal(response.status(), 404);
    await jun.assertQuiet('after the removal');
  });

  test('a token works until it is revoked', async () => {
    await owner.open('/account');
    await owner.page.getByLabel('Label').fill('laptop');
    await owner.page.getByRole('button', { name: 'Make it' }).click();
    const shown = owner.page.getByRole('status').locator('.command');
    await shown.waitFor();
    const token = await shown.evaluate((element) => element.firstChild.data);
    const ask = () => fetch(`${instance.url}/api/v1/projects`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal((await ask()).status, 200);
    await owner.page.getByRole('button', { name: 'Revoke laptop' }).click();
    await owner.page.getByRole('row', { name: 'laptop' }).getByText('revoked').waitFor();
    assert.equal((await ask()).status, 401);
    await owner.assertQuiet('a token that was revoked');
  });
});
