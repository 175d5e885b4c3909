// The Naru that is looked at: where it is, and its API as a person with a token uses it. Starting and stopping it is
// `cargo xtask`'s; what is asked for here is real, nothing is put into its rows by hand.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What `cargo xtask` hands over. */
export const instance = {
  url: given('NARU_URL'),
  edge: given('NARU_EDGE'),
  data: given('NARU_DATA'),
  work: given('NARU_WORK'),
  sources: given('NARU_SOURCES'),
};

/** The person who is made first. */
export const administrator = { login: 'minji', password: 'a ferry at dawn', token: undefined };

function given(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: these programs are started by cargo xtask`);
  return value;
}

/** The one-time link of the first start. */
export async function setupLink() {
  return (await readFile(join(instance.data, 'setup-link'), 'utf8')).trim();
}

/** Makes a token for the API, as the command line does when somebody logs in. */
export async function logIn() {
  const { login, password } = administrator;
  const answer = await call('POST', 'login', { login, password, label: 'browser tests' });
  administrator.token = answer.token;
}

/** Reads from the API; `path` is below `/api/v1/`. */
export const get = (path) => call('GET', path);

/** Asks the API for something. */
export const post = (path, body = {}) => call('POST', path, body);

/** Changes something through the API. */
export const put = (path, body) => call('PUT', path, body);

async function call(method, path, body) {
  const headers = { 'content-type': 'application/json' };
  if (administrator.token) headers.authorization = `Bearer ${administrator.token}`;
  const answer = await fetch(`${instance.url}/api/v1/${path}`, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path} was answered with ${answer.status}: ${text}`);
  return text ? JSON.parse(text) : undefined;
}

/** Waits until `look` returns something; fails with what `what` says after a time. */
export async function until(what, look, seconds = 120) {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${typeof what === 'string' ? what : await what()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** How far the newest change of a project's production is. */
export const crossing = (project) => get(`projects/${project}/environments/production/crossing`);

/** Waits until everything that was asked of a project's production is done. */
export async function untilLive(project, seconds = 300) {
  let last;
  return until(
    () => `${project} is live: ${JSON.stringify(last)}`,
    async () => {
      last = await crossing(project);
      if (last.problem) throw new Error(`${project} stopped: ${JSON.stringify(last.problem)}`);
      return last.landings.length > 0 && last.landings.every((one) => ['done', 'skipped'].includes(one.state)) && last;
    },
    seconds,
  );
}

/** Waits until the newest run of a project has ended; returns it. */
export async function untilRunEnds(project, after = 0) {
  return until(`a run of ${project} ends`, async () => {
    const { items } = await get(`projects/${project}/runs?limit=1`);
    const [run] = items;
    return run && run.number > after && ['done', 'failed', 'cancelled'].includes(run.state) && run;
  }, 300);
}
