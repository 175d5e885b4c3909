// axe on the page that a visitor looks at: WCAG 2.2 AA and the practices that axe knows besides.

import assert from 'node:assert/strict';
import axe from 'axe-core';

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Fails with every violation and the elements that break it. */
export async function assertAccessible(page, where) {
  // Handed over by the debugger: the page's policy allows no foreign script, and stays as it is.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(
    (values) => window.axe.run(document, { runOnly: { type: 'tag', values }, resultTypes: ['violations'] }),
    RULES,
  );
  const told = violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${node.target.join(' ')}: ${node.failureSummary?.replace(/\s+/g, ' ')}`));
  assert.deepEqual(told, [], where);
}
