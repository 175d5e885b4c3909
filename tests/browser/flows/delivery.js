// The main flow as a person sees it: a project from a template, a push that is watched, a variable, an older release, the
// way back. The pages are never loaded again by hand, and what is live is opened at its own address.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { assertAccessible } from '../lib/axe.js';
import { Visitor, memberCookies } from '../lib/browser.js';
import { get, instance, until, untilLive, untilRunEnds } from '../lib/instance.js';
import { Repository } from '../lib/repository.js';
import { story } from '../lib/test.js';

const PROJECT = 'ferry';
const PRODUCTION = `/projects/${PROJECT}/environments/production`;
const LANDINGS = 6;

describe('a project', () => {
  const test = story();
  let visitor;
  let repository;
  before(async () => { visitor = await Visitor.arrive({ cookies: await memberCookies() }); });
  after(() => visitor.leave());

  test('begins from a template, which is live in a moment', async () => {
    await visitor.open('/');
    await visitor.page.getByRole('link', { name: 'New project' }).click();
    await visitor.page.getByLabel('Name', { exact: true }).fill(PROJECT);
    await visitor.page.getByText(`${PROJECT} is free`).waitFor();
    await visitor.page.getByRole('radio', { name: 'A static site' }).check();
    await visitor.page.getByRole('button', { name: 'Create the project' }).click();
    await visitor.page.getByRole('heading', { name: PROJECT, level: 1 }).waitFor();
    assert.equal(new URL(visitor.page.url()).pathname, `/projects/${PROJECT}`);
    await visitor.assertQuiet('a project that was made');
    await untilLive(PROJECT);
    await showsLive(visitor, 1, 1);
    await assertAccessible(visitor.page, 'a project that is live');
    assert.match(await visitor.readElsewhere(await address()), /<h1>/);
  });

  test('takes a push that is watched on the page, live, without loading it again', async () => {
    repository = await Repository.clone(PROJECT);
    await repository.write('index.html', page('First crossing'));
    await visitor.page.evaluate(watch);
    await repository.push('First crossing');
    await untilLive(PROJECT);
    await showsLive(visitor, 2, 2);
    const watched = await visitor.page.evaluate(() => window.__watched);
    assert.ok(watched, 'the page is the same that was opened');
    const landings = watched.slice(watched.findIndex((count) => count < LANDINGS)); // before, it was the crossing of yesterday
    assert.ok(landings.length >= 3, `the line was seen on its way: ${watched.join(', ')}`);
    assert.deepEqual(landings, [...landings].sort((a, b) => a - b), 'it goes forward only');
    await assertAccessible(visitor.page, 'a push that has arrived');
    await visitor.assertQuiet('a push that is watched');
    assert.match(await visitor.readElsewhere(await address()), /First crossing/);
  });

  test('tells in the log what a step prints, while it prints', async () => {
    await repository.write('naru.yaml', JSON.stringify({
      pipeline: { wait: { image: 'docker.io/library/nginx:stable', run: 'for i in 1 2 3 4 5 6; do echo "tide $i"; sleep 1; done' } },
      services: { web: { build: { static: '.', needs: ['wait'] } } },
    }));
    await repository.push('Wait for the tide');
    await visitor.page.locator('.crossing a[href$="/runs/3"]').first().click();
    await visitor.page.getByText('tide 1', { exact: true }).waitFor({ timeout: 60_000 });
    assert.equal(await visitor.page.getByText('tide 6', { exact: true }).count(), 0, 'the step is still printing');
    await visitor.page.getByText('tide 6', { exact: true }).waitFor({ timeout: 60_000 });
    await untilRunEnds(PROJECT, 2);
    await visitor.page.locator('.status .mark.good').waitFor();
    await untilLive(PROJECT);
    await visitor.assertQuiet('a run that is watched');
  });

  test('gets a variable, which is a new revision of the same release', async () => {
    await visitor.open(PRODUCTION);
    await visitor.page.getByRole('link', { name: 'Configuration', exact: true }).click();
    await visitor.page.getByLabel('Name', { exact: true }).first().fill('1GREETING');
    await visitor.page.getByLabel('Value', { exact: true }).first().fill('어서 오세요');
    visitor.expected.add(400);
    await visitor.page.getByRole('button', { name: 'Save' }).first().click();
    await visitor.page.getByRole('alert').waitFor();
    assert.equal(await visitor.page.getByLabel('Name', { exact: true }).first().inputValue(), '1GREETING', 'what was typed is kept');
    await visitor.page.getByLabel('Name', { exact: true }).first().fill('GREETING');
    await visitor.page.getByRole('button', { name: 'Save' }).first().click();
    await visitor.page.getByRole('row', { name: 'GREETING' }).getByText('어서 오세요').waitFor();
    visitor.expected.delete(400);
    await visitor.page.getByRole('navigation', { name: 'Parts' }).getByRole('link', { name: 'Overview' }).click();
    await showsLive(visitor, 3, 4);
    await visitor.assertQuiet('a variable');
  });

  test('delivers an older release that is chosen', async () => {
    await visitor.page.getByLabel('Release to deploy').selectOption('1');
    await visitor.page.getByRole('button', { name: 'Deploy', exact: true }).click();
    await showsLive(visitor, 1, 5);
    await visitor.assertQuiet('an older release');
    assert.doesNotMatch(await visitor.readElsewhere(await address()), /First crossing/);
  });

  test('goes back, after saying what that does', async () => {
    await visitor.page.getByRole('link', { name: 'Roll back' }).click();
    await visitor.page.getByText('All requests move from release 1 to release 3').waitFor();
    await assertAccessible(visitor.page, 'before going back');
    await visitor.page.getByRole('button', { name: 'Roll back' }).click();
    await showsLive(visitor, 3, 6);
    await visitor.assertQuiet('the way back');
    assert.match(await visitor.readElsewhere(await address()), /First crossing/);
    const { items: [newest] } = await get(`projects/${PROJECT}/environments/production/revisions?limit=1`);
    assert.equal(newest.number, 6);
  });
});

const page = (title) => `<!doctype html><html lang="en"><title>${title}</title><h1>${title}</h1></html>\n`;

/** Where visitors find it, as the API says; the edge of this instance has a port of its own. */
async function address() {
  const { urls: [url] } = await get(`projects/${PROJECT}/environments/production`);
  assert.equal(new URL(url).port, instance.edge.split(':').at(-1));
  return url;
}

/** Waits until the page says by itself that all of a change is behind it. */
async function showsLive(visitor, release, revision) {
  const status = visitor.page.getByText(`production serves release ${release} as revision ${revision}, healthy`);
  await status.waitFor({ timeout: 120_000 });
  const past = () => visitor.page.locator('.crossing .past').count();
  await until(async () => `six landings are past: ${await past()}`, async () => (await past()) === LANDINGS, 30);
}

/** In the page: notes how many landings are behind the push, each time that changes. */
function watch() {
  const landings = [];
  window.__watched = landings;
  const look = () => {
    const count = document.querySelectorAll('.crossing .past').length;
    if (landings.at(-1) !== count) landings.push(count);
  };
  look();
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, attributes: true });
}
