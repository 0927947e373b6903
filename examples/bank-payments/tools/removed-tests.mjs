// Part of step 9: names in the build's own document in DIR the integration tests that were removed on purpose, which the gate would miss
// otherwise. tests/integration/removed.json lists them as the gate's `integration-vanished` calls them, until a commit without them is Built.
// Usage: node tools/removed-tests.mjs DIR
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { changeDocument } from './document.mjs';
import { ROOT } from './overlay.mjs';

const [out] = process.argv.slice(2);
if (!out) throw new Error('usage: node tools/removed-tests.mjs DIR');
const removed_tests = JSON.parse(await readFile(join(ROOT, 'tests', 'integration', 'removed.json'), 'utf8'));
await changeDocument(out, ({ tests = {}, ...document }) => (
  { ...document, tests: { ...tests, integration: { ...tests.integration, removed_tests } } }
));
