// Pictures of every page: light and dark, narrow and wide, English and Korean. Pages are shown as far as they reach, up to a
// height that is still readable.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { LANGUAGES, THEMES, Visitor, memberCookies, stopBrowser } from './lib/browser.js';
import { administrator, instance, logIn, post, setupLink } from './lib/instance.js';
import { PAGES, address } from './lib/pages.js';
import { app, seed } from './lib/seed.js';

const SIZES = [{ width: 390, height: 844 }, { width: 1440, height: 900 }];
const TALLEST = 4000;

const out = process.env.NARU_OUT;
const only = process.env.NARU_ONLY ?? '';

async function makeAccount() {
  const setup_token = new URL(await setupLink()).searchParams.get('token');
  await post('setup', { setup_token, ...administrator, token: undefined });
  await logIn();
}

async function picture(visitor, file) {
  const tall = await visitor.page.evaluate(() => document.documentElement.scrollHeight);
  const { width, height } = visitor.page.viewportSize();
  // A window as high as the page: what stays at its foot is where it belongs.
  await visitor.page.setViewportSize({ width, height: Math.min(Math.max(tall, height), TALLEST) });
  await visitor.settle();
  await writeFile(file, await visitor.page.screenshot({ animations: 'disabled', caret: 'hide' }));
  await visitor.page.setViewportSize({ width, height });
}

async function walk(language, theme, { width, height }, places) {
  const how = { language, theme, width, height };
  const member = await Visitor.arrive({ ...how, cookies: await memberCookies() });
  const guest = await Visitor.arrive(how);
  const folder = join(out, `${language}-${theme}-${width}`);
  await mkdir(folder, { recursive: true });
  for (const page of PAGES.filter(({ name }) => name.includes(only))) {
    const visitor = page.guests ? guest : member;
    const response = await visitor.open(address(page, places));
    if (response.status() !== 200) throw new Error(`${page.name} was answered with ${response.status()}`);
    await visitor.page.waitForTimeout(100);
    await picture(visitor, join(folder, `${page.name}.png`));
  }
  if ('project-live'.includes(only)) {
    await member.open('/projects/landing');
    await picture(member, join(folder, 'project-live.png'));
  }
  await member.leave();
  await guest.leave();
}

await makeAccount();
const places = await seed();
await app('landing');
if (!process.env.NARU_QUICK) await app('board');
for (const language of LANGUAGES) {
  for (const theme of THEMES) {
    for (const size of SIZES) await walk(language, theme, size, places);
  }
}
await stopBrowser();
console.log(`${PAGES.length} pages of ${instance.url}`);
