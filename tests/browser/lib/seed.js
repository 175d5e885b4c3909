// What the pages show: real pushes that went well and badly, a rollback, variables, releases to compare. The same for tests
// and for screenshots.

import { get, post, put, until, untilLive, untilRunEnds } from './instance.js';
import { Repository } from './repository.js';

/** An image that has a shell and is there: static sites are built on it. */
export const IMAGE = 'docker.io/library/nginx:stable';

/** Steps that print colours, stamps and a summary, as test runners do; the last of them fails when `fails`. */
function definition(fails) {
  const lint = "printf '\\033[32m    Checking\\033[0m shop v0.3.1\\n\\033[33mwarning\\033[0m: unused variable: `total`\\n'; sleep 1";
  const test = [
    "i=1; while [ $i -le 240 ]; do printf 'test cart::case_%03d ... \\033[32mok\\033[0m\\n' $i; i=$((i+1)); done",
    "printf '한글 로그도 그대로 보여요: 장바구니에 3개 담음\\n'",
    fails
      ? "printf 'test cart::rounds_to_cents ... \\033[31mFAILED\\033[0m\\n\\n---- cart::rounds_to_cents ----\\nassertion failed: left 1099, right 1100\\n  at src/cart.rs:41\\n'; printf '\\033[1;31merror\\033[0m: 1 test failed\\n' >&2; exit 1"
      : "printf '\\ntest result: \\033[32mok\\033[0m. 240 passed; 0 failed\\n'",
  ].join('; ');
  return JSON.stringify({
    pipeline: {
      lint: { image: IMAGE, run: lint },
      test: { image: IMAGE, run: test, needs: ['lint'] },
    },
    services: { web: { build: { static: '.', needs: ['test'] }, replicas: 2 } },
    environments: { production: { branch: 'main' }, staging: { branch: 'next', env: { LOG_LEVEL: 'debug' } } },
  }, null, 2);
}

/** Makes `shop` with a good and a bad push, and returns what the places of addresses are filled with. */
export async function seed(project = 'shop') {
  await post('projects', { name: project });
  const shop = await Repository.begin(project, 'apps/landing');
  await shop.write('naru.yaml', definition(false));
  await shop.push('Sell the first thing');
  await untilLive(project);
  await put(`projects/${project}/environments/production/configuration`, {
    set: { GREETING: '어서 오세요', CART_LIMIT: '20', PAYMENT_URL: 'https://pay.example.com/v2' },
  });
  await until('the variables are live', async () => (await production(project)).condition === 'live');
  await shop.write('naru.yaml', definition(true));
  await shop.push('Round prices to cents, 원 단위는 그대로 두기');
  const failed = await untilRunEnds(project, 1);
  return placesOf(project, failed.number);
}

let places;

/** The same, made once for all flows. */
export async function seeded() {
  places ??= seed();
  return places;
}

const production = (project) => get(`projects/${project}/environments/production`);

/** What there is of a project, newest first, as the places of addresses. */
async function placesOf(project, run) {
  const newest = async (list) => (await get(`projects/${project}/${list}?limit=1`)).items[0];
  const trigger = await newest('triggers');
  const release = await newest('releases');
  const revision = await newest('environments/production/revisions');
  const invitation = await post('organisations/main/invitations', { role: 'viewer', address: 'hana@example.com' });
  return {
    organisation: 'main',
    invitation: invitation.token,
    project,
    environment: 'production',
    run,
    step: 'test',
    trigger: trigger.id,
    release: release.number,
    revision: revision.number,
    organisation: 'main',
    login: 'minji',
  };
}

/** An app of the demo, until it is live; the message board is compiled from source, which takes minutes. */
export async function app(name) {
  await post('projects', { name });
  const repository = await Repository.begin(name, `apps/${name}`);
  await repository.push('First crossing');
  await untilLive(name, 1800);
}
