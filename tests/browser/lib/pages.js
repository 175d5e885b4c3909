// Every page there is, from `pages.json`: the one list that accessibility, screenshots, sizes and widths go through. A test
// of the server compares it with the table of routes, so that no page can be forgotten.

import { readFileSync } from 'node:fs';

/** The pages as they are listed: `name`, `path` with its places in braces, and `guests` when nobody is logged in there. */
export const { pages: PAGES } = JSON.parse(readFileSync(new URL('../pages.json', import.meta.url), 'utf8'));

/** The address of a page, its places filled from `places`. */
export function address({ name, path }, places) {
  return path.replace(/\{(\w+)\}/g, (_, place) => {
    const value = places[place];
    if (value === undefined) throw new Error(`the page ${name} needs {${place}}, which nothing was made for`);
    return encodeURIComponent(value);
  });
}
