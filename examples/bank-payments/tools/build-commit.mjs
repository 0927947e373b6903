// Step 5 of the pipeline: bundles the functions, synthesises the templates, and collects the migrations in DIR, in the layout of the
// artefact store. The build's own document there, in which the steps before have noted what became of them, is completed.
// Usage: node tools/build-commit.mjs DIR
import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { artefacts } from './artefacts.mjs';
import { changeDocument } from './document.mjs';
import { ROOT } from './overlay.mjs';

/** What no report says of itself by its name (`gatekeeper publish --help`). */
const COVERAGE = { suite: 'unit', format: 'istanbul-summary', file: 'coverage-summary.json' };

async function main([given]) {
  if (!given) throw new Error('usage: node tools/build-commit.mjs DIR');
  const out = resolve(given);
  await rm(join(out, 'modules'), { recursive: true, force: true });
  const modules = await artefacts(out);
  const { policies_satisfied } = JSON.parse(await readFile(join(ROOT, 'policies.json'), 'utf8'));
  await changeDocument(out, ({ tests = {}, ...document }) => (
    { ...document, modules, reports: [COVERAGE], tests: { ...tests, policy: { ...tests.policy, policies_satisfied: policies_satisfied.map(({ id }) => id) } } }
  ));
  for (const { id, functions, stacks, migrations = [] } of modules) {
    console.log(`${id}: ${[...functions, ...stacks].map(({ name }) => name).join(', ')}${migrations.length ? ` and ${migrations.length} migrations` : ''}`);
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
