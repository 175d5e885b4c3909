// One Chromium, and visitors in it: each with cookies, language, colours and size of its own. A visitor notes everything
// that a page must not do; `assertQuiet` says it.

import assert from 'node:assert/strict';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

import { administrator, instance } from './instance.js';

/** Widths that pages are looked at, in CSS pixels: a small phone, a phone, a desk. */
export const WIDTHS = [360, 390, 1440];
export const LANGUAGES = ['en', 'ko'];
export const THEMES = ['light', 'dark'];

const ARGUMENTS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Names below localhost lead here without a resolver; no proxy of the machine comes between.
  '--no-proxy-server',
];

/** Networks of this machine come and go with containers, and Chromium then breaks off what is under way, also on loopback. */
const NETWORKS_CHANGED = 'net::ERR_NETWORK_CHANGED';

let chromiumProcess;

/** Everybody who is here. */
const present = new Set();

/** Starts the browser; once. */
export async function startBrowser() {
  const root = process.getuid?.() === 0;
  chromiumProcess ??= await chromium.launch({
    executablePath: process.env.NARU_CHROMIUM || '/usr/bin/chromium',
    args: root ? [...ARGUMENTS, '--no-sandbox'] : ARGUMENTS,
    chromiumSandbox: !root,
  });
  return chromiumProcess;
}

export async function stopBrowser() {
  await chromiumProcess?.close();
  chromiumProcess = undefined;
}

/** Runs in every page before its own script: what only the page itself can see. */
function observe() {
  const seen = { shifts: [], refused: [] };
  Object.defineProperty(window, '__seen', { value: seen });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      const nodes = entry.sources.map((source) => source.node?.outerHTML?.slice(0, 120) ?? 'a removed node');
      seen.shifts.push({ value: entry.value, nodes });
    }
  }).observe({ type: 'layout-shift', buffered: true });
  document.addEventListener('securitypolicyviolation', (event) => {
    seen.refused.push(`${event.violatedDirective}: ${event.blockedURI} (${event.sourceFile}:${event.lineNumber})`);
  });
}

/** Goes to a page, once more when the machine's networks changed meanwhile. */
async function go(page, path) {
  try {
    return await page.goto(path, { waitUntil: 'load' });
  } catch (error) {
    if (!error.message.includes(NETWORKS_CHANGED)) throw error;
    return page.goto(path, { waitUntil: 'load' });
  }
}

export class Visitor {
  #context;
  #script = true;
  #troubles = [];
  /** Statuses of answers that a test expects; everything else from 400 on is a trouble. */
  expected = new Set();

  static async arrive({ language = 'en', theme = 'light', width = 1440, height = 900, script = true, cookies, still = true } = {}) {
    const visitor = new Visitor();
    visitor.language = language;
    visitor.#script = script;
    visitor.#context = await (await startBrowser()).newContext({
      locale: language === 'ko' ? 'ko-KR' : 'en-GB',
      timezoneId: 'Asia/Seoul',
      colorScheme: theme,
      reducedMotion: still ? 'reduce' : 'no-preference',
      viewport: { width, height },
      javaScriptEnabled: script,
      baseURL: instance.url,
    });
    visitor.#context.setDefaultTimeout(30_000);
    if (script) await visitor.#context.addInitScript(observe);
    if (cookies) await visitor.#context.addCookies(cookies);
    visitor.page = await visitor.#context.newPage();
    visitor.#listen(visitor.page);
    present.add(visitor);
    return visitor;
  }

  #listen(page) {
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !this.#isExpected(message.text())) {
        this.#troubles.push(`the console says: ${message.text()}`);
      }
    });
    page.on('pageerror', (error) => this.#troubles.push(`the script threw: ${error.stack ?? error}`));
    page.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      if (origin !== instance.url && ['http:', 'https:', 'ws:', 'wss:'].includes(protocol)) {
        this.#troubles.push(`something is loaded from elsewhere: ${request.url()}`);
      }
    });
    page.on('response', (response) => {
      if (response.status() >= 400 && !this.expected.has(response.status())) {
        this.#troubles.push(`${response.request().method()} ${response.url()} was answered with ${response.status()}`);
      }
    });
  }

  /** Chromium tells of every answer from 400 on as an error of the console, too. */
  #isExpected(text) {
    if (text.includes(NETWORKS_CHANGED)) return true;
    const status = /responded with a status of (\d+)/.exec(text)?.[1];
    return status !== undefined && this.expected.has(Number(status));
  }

  /** Opens a page, and waits until everything that belongs to its first look is there. */
  async open(path) {
    const response = await go(this.page, path);
    await this.settle();
    return response;
  }

  /** Waits until fonts are there and what was drawn has been drawn. */
  async settle() {
    if (!this.#script) return; // no frame is promised to anybody there
    await this.page.evaluate(async () => {
      await document.fonts.ready;
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    }).catch(() => undefined);
  }

  /** Logs in through the page, as a person does. */
  async logIn({ login, password } = administrator) {
    await this.open('/login');
    await this.page.locator('input[name=login]').fill(login);
    await this.page.locator('input[name=password]').fill(password);
    await this.page.locator('input[name=password]').press('Enter');
    await this.page.waitForURL((url) => url.pathname !== '/login');
  }

  /** Opens an address of the edge in a window of its own, as somebody does who follows a link; returns what it says. */
  async readElsewhere(url) {
    const other = await this.#context.newPage();
    const response = await go(other, url);
    const text = await response.text();
    await other.close();
    return text;
  }

  cookies() {
    return this.#context.cookies();
  }

  session(page = this.page) {
    return this.#context.newCDPSession(page);
  }

  /** Fails when a page did what it must not: errors, refused resources, other sites. Forgets what it said. */
  async assertQuiet(where) {
    const seen = this.#script ? await this.page.evaluate(() => window.__seen?.refused.splice(0)) : [];
    const troubles = [...this.#troubles.splice(0), ...(seen ?? []).map((one) => `the policy refused ${one}`)];
    assert.deepEqual(troubles, [], where);
  }

  /** What moved without a person's doing since the page was opened. */
  shifts() {
    return this.page.evaluate(() => window.__seen.shifts);
  }

  async leave() {
    present.delete(this);
    await this.#context.close();
  }
}

/** A picture of what everybody looks at, named after `what`; returns what was looked at, a line each. */
export async function evidence(what) {
  const folder = process.env.NARU_LEFT;
  const name = what.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  const lines = [];
  for (const [number, visitor] of [...present].entries()) {
    const file = folder && join(folder, `${name}-${number + 1}.png`);
    const taken = file && await visitor.page.screenshot({ path: file, timeout: 10_000 }).then(() => true, () => false);
    lines.push(`"${what}" failed at ${visitor.page.url()} (${visitor.language})${taken ? `, picture: ${file}` : ''}`);
  }
  return lines;
}

let member;

/** The cookies of the administrator, who logs in once. */
export async function memberCookies() {
  if (!member) {
    const visitor = await Visitor.arrive();
    await visitor.logIn();
    member = await visitor.cookies();
    await visitor.leave();
  }
  return member;
}
