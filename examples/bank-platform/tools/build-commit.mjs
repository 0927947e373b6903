// Writes what the build says of itself: `node tools/build-commit.mjs FOLDER`. The artefact of a Pulumi repository is its program at
// a commit (ADR-053 "Pulumi"): there are no files to store beside the reports.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const [out] = process.argv.slice(2);
if (!out) throw new Error('usage: node tools/build-commit.mjs FOLDER');
await mkdir(out, { recursive: true });
const { id, policies_satisfied } = JSON.parse(await readFile('module.json', 'utf8'));
const file = join(out, 'build-manifest.json');
const text = await readFile(file, 'utf8').catch((error) => {
  if (error.code === 'ENOENT') return '{}';
  throw error;
});
const document = JSON.parse(text);
const { tests = {} } = document;
const coverage = { suite: 'unit', format: 'istanbul-summary', file: 'coverage-summary.json' };
const said = { ...document, modules: [{ id }], reports: [coverage], tests: { ...tests, policy: { ...tests.policy, policies_satisfied } } };
await writeFile(`${file}.new`, `${JSON.stringify(said, null, 2)}\n`);
await rename(`${file}.new`, file);
console.log(`${id}: the Pulumi program`);
