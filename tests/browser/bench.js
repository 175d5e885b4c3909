// What pages cost and how a large log behaves; ends with one line of JSON. `cargo xtask bench pages` starts it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { Visitor, memberCookies, stopBrowser } from './lib/browser.js';
import { administrator, get, instance, logIn, post, setupLink, untilRunEnds } from './lib/instance.js';
import { PAGES, address } from './lib/pages.js';
import { Repository } from './lib/repository.js';
import { IMAGE, seed } from './lib/seed.js';

const MANY = Number(process.env.NARU_MANY ?? 200);
const MOST = Number(process.env.NARU_MOST ?? 10_000);
const LINES = Number(process.env.NARU_LINES ?? 1_000_000);
const LOOKS = 41;
const AT_ONCE = 8;
/** How long the quick log is followed, and how many lines a second it prints. */
const FOLLOWED_SECONDS = 20;
const LINES_PER_SECOND = 5000;

const result = { bench: 'pages' };

/** Projects `bulk-<n>` up to a number, with their repositories, several at once. */
async function grow(from, to) {
  let next = from;
  const hand = async () => {
    while (next < to) {
      const number = next++;
      await post('projects', { name: `bulk-${String(number).padStart(5, '0')}` });
      if (number % 1000 === 999) console.log(`${number + 1} projects`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, hand));
}

/** The same as rows alone, by a program that writes them through the store: lists read no repository. */
async function growRows(from, to) {
  if (from >= to) return;
  const words = [join(instance.data, 'naru.db'), administrator.login, from, to].map(String);
  const rows = spawn(process.env.NARU_ROWS, words, { stdio: 'inherit' });
  const [code] = await once(rows, 'exit');
  if (code !== 0) throw new Error(`the rows could not be written: ${code}`);
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const rounded = (ms) => Math.round(ms * 10) / 10;

/** The median time of a page's answer, from the request to its last byte; in milliseconds. */
async function time(path, cookie) {
  const times = [];
  for (let look = 0; look <= LOOKS; look++) {
    const began = performance.now();
    const answer = await fetch(instance.url + path, { headers: { cookie }, redirect: 'manual' });
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new Error(`${path} was answered with ${answer.status}`);
    if (look > 0) times.push(performance.now() - began); // the first one is not counted
  }
  return rounded(median(times));
}

async function pages(places, cookie) {
  result.projects = MANY;
  result.pages_ms = {};
  for (const page of PAGES) {
    if (page.guests) continue;
    const path = address(page, places);
    result.pages_ms[page.name] = await time(path, cookie);
    console.log(`${page.name.padEnd(24)} ${String(result.pages_ms[page.name]).padStart(7)} ms  ${path}`);
  }
}

async function lists(cookie) {
  result.most_projects = MOST;
  result.list_ms = {};
  for (const [name, query] of Object.entries(LISTS)) {
    result.list_ms[name] = await time(`/projects${query}`, cookie);
    console.log(`${MOST} projects, ${name.padEnd(12)} ${String(result.list_ms[name]).padStart(7)} ms`);
  }
}

/** How people look through the list of projects. */
const LISTS = {
  first: '',
  'page 200': '?page=200',
  'by state': '?sort=state',
  'by activity': '?sort=active',
  'only live': '?state=live',
  'only idle': '?state=idle',
  search: '?q=bulk-0421',
  none: '?q=nothing-like-it',
  favourites: '?favourites=true',
};

/** A project whose one step prints; returns the run's address as soon as it runs. */
async function printing(project, script) {
  await post('projects', { name: project });
  const repository = await Repository.begin(project, 'apps/landing');
  await repository.write('naru.yaml', JSON.stringify({
    pipeline: { print: { image: IMAGE, run: script } },
    services: { web: { build: { static: '.', needs: ['print'] } } },
  }));
  await repository.push('Print');
  for (;;) {
    const [run] = (await get(`projects/${project}/runs?limit=1`)).items;
    if (run && run.state !== 'waiting') return run.number;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const logPage = (project, run) => `/projects/${project}/runs/${run}?step=print`;

/** A finished log: until its end or beginning can be read, and can be searched. */
async function longLog(cookies) {
  const run = await printing('long-log', `seq -f 'line %.0f of a long log' 1 ${LINES}`);
  await untilRunEnds('long-log');
  const visitor = await Visitor.arrive({ cookies });
  const times = [];
  for (let look = 0; look < 5; look++) {
    const began = performance.now();
    await visitor.page.goto(logPage('long-log', run), { waitUntil: 'domcontentloaded' });
    await visitor.page.getByText(/line \d+ of a long log/).first().waitFor();
    times.push(performance.now() - began);
  }
  result.long_log = { lines: LINES, opens_ms: rounded(median(times)), heap_mb: await heap(visitor) };
  console.log(`a log of ${LINES} lines opens within ${result.long_log.opens_ms} ms`);
  await visitor.leave();
}

async function heap(visitor) {
  const session = await visitor.session();
  await session.send('Performance.enable');
  const { metrics } = await session.send('Performance.getMetrics');
  return Math.round(metrics.find(({ name }) => name === 'JSHeapUsedSize').value / (1 << 20));
}

/**
 * A log that is printed while somebody looks: how long the page ever stood still, and how old the newest line is that can be
 * read. What is printed at once carries the hour, by the clock that the page goes by, too; how much that is, is reckoned
 * from the hour as well, so that a busy machine prints no fewer lines.
 */
async function quickLog(cookies) {
  const script = `start=$(date +%s%3N); i=0; now=$start; while [ $((now-start)) -lt ${FOLLOWED_SECONDS * 1000} ]; do `
    + `now=$(date +%s%3N); due=$(((now-start)*${LINES_PER_SECOND / 1000})); `
    + 'if [ $due -gt $i ]; then seq -f "line %.0f of a quick log, printed at $now" $((i+1)) $due; i=$due; fi; sleep 0.05; done';
  const run = await printing('quick-log', script);
  const visitor = await Visitor.arrive({ cookies });
  await visitor.page.goto(logPage('quick-log', run), { waitUntil: 'domcontentloaded' });
  await visitor.page.getByText(/line \d+ of a quick log/).first().waitFor({ timeout: 60_000 });
  const { longest, ages, passed, seconds } = await visitor.page.evaluate(followed, (FOLLOWED_SECONDS - 8) * 1000);
  await untilRunEnds('quick-log');
  const sorted = ages.sort((a, b) => a - b);
  result.quick_log = {
    lines_per_second: LINES_PER_SECOND,
    looks: sorted.length,
    shown_per_second: Math.round(passed / seconds),
    longest_standstill_ms: rounded(longest),
    behind_ms: { median: median(sorted), p95: sorted[Math.floor(sorted.length * 0.95)], most: sorted.at(-1) },
  };
  console.log(`followed at ${LINES_PER_SECOND} lines/s: ${JSON.stringify(result.quick_log)}`);
  await visitor.leave();
}

/** In the page, for a time: the longest time between two frames, and in each frame how old the newest shown line is. */
function followed(milliseconds) {
  return new Promise((resolve) => {
    const began = performance.now();
    let [last, longest, first, newest] = [began, 0, undefined, 0];
    const ages = [];
    const frame = (now) => {
      longest = Math.max(longest, now - last);
      last = now;
      const texts = [...document.querySelectorAll('.line')].map((line) => line.textContent);
      const found = texts.map((text) => /line (\d+) of a quick log, printed at (\d+)/.exec(text)).filter(Boolean).at(-1);
      if (found) {
        newest = Number(found[1]);
        first ??= newest;
        ages.push(Date.now() - Number(found[2]));
      }
      if (now - began < milliseconds) requestAnimationFrame(frame);
      else resolve({ longest, ages, passed: newest - first, seconds: (now - began) / 1000 });
    };
    requestAnimationFrame(frame);
  });
}

const setup_token = new URL(await setupLink()).searchParams.get('token');
await post('setup', { setup_token, login: administrator.login, password: administrator.password });
await logIn();
const places = await seed();
const cookies = await memberCookies();
const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
await longLog(cookies);
await quickLog(cookies);
await stopBrowser();
await grow(0, MANY - 3);
await pages(places, cookie);
await growRows(MANY - 3, MOST - 3);
await lists(cookie);
console.log(JSON.stringify(result));
