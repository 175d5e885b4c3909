// A push as a person sees it who has the project's page open: the six landings move by themselves, the page is never
// loaded again, and what is live can be opened.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { assertAccessible } from '../lib/axe.js';
import { Visitor, memberCookies } from '../lib/browser.js';
import { instance, post, untilLive, until } from '../lib/instance.js';
import { Repository } from '../lib/repository.js';

const PROJECT = 'ferry';
const LANDINGS = 6;

describe('a push', () => {
  let visitor;
  let repository;
  before(async () => {
    visitor = await Visitor.arrive({ cookies: await memberCookies() });
  });
  after(() => visitor.leave());

  it('has a page that says how to begin', async () => {
    await post('projects', { name: PROJECT });
    repository = await Repository.begin(PROJECT, 'apps/landing');
    await visitor.open(`/projects/${PROJECT}`);
    assert.equal(await visitor.page.locator('h1').innerText(), PROJECT);
    await assertAccessible(visitor.page, 'a project without a push');
    await visitor.assertQuiet('a project without a push');
  });

  it('is watched on the page, live, without loading it again', async () => {
    await visitor.page.evaluate(watch);
    await repository.push('First crossing');
    await untilLive(PROJECT);
    await visitor.page.locator('.crossing .past').nth(LANDINGS - 1).waitFor();
    const { landings, loaded } = await visitor.page.evaluate(() => window.__watched);
    assert.ok(loaded, 'the page is the same that was opened');
    assert.ok(landings.length >= 3, `the line was seen on its way: ${landings.join(', ')}`);
    assert.deepEqual(landings, [...landings].sort((a, b) => a - b), 'it goes forward only');
    await assertAccessible(visitor.page, 'a project that is live');
    await visitor.assertQuiet('a push that is watched');
  });

  it('can be opened where it is live', async () => {
    const [host] = instance.edge.split(':').slice(-1);
    const answer = await visitor.page.request.get(`http://${PROJECT}.localhost:${host}/`);
    assert.match(await answer.text(), /Push, and it runs/);
  });

  it('tells in the log what a step prints, while it prints', async () => {
    await repository.write('naru.yaml', JSON.stringify({
      pipeline: { wait: { image: 'docker.io/library/nginx:stable', run: 'for i in 1 2 3 4 5 6 7 8; do echo "tide $i"; sleep 1; done' } },
      services: { web: { build: { static: '.', needs: ['wait'] } } },
    }));
    await repository.push('Wait for the tide');
    await visitor.page.locator('.crossing a[href*="/runs/2"]').first().waitFor({ timeout: 60_000 });
    await visitor.open(`/projects/${PROJECT}/runs/2`);
    await visitor.page.getByText('tide 1', { exact: true }).waitFor({ timeout: 60_000 });
    assert.equal(await visitor.page.getByText('tide 8', { exact: true }).count(), 0, 'the step is still printing');
    await visitor.page.getByText('tide 8', { exact: true }).waitFor({ timeout: 60_000 });
    await untilLive(PROJECT);
    await until('the page says that the run is done', async () => (await visitor.page.locator('.status .mark.good').count()) > 0, 20);
    await visitor.assertQuiet('a run that is watched');
  });
});

/** In the page: notes how many landings are behind the push, each time that changes. */
function watch() {
  const landings = [];
  window.__watched = { landings, loaded: true };
  const look = () => {
    const count = document.querySelectorAll('.crossing .past').length;
    if (landings.at(-1) !== count) landings.push(count);
  };
  look();
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, attributes: true });
}
