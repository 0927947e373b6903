// Runs the integration tests against live deployed dev (ADR-053, step 9) and writes what the manifest says of them.
// Usage: RUN_INTEGRATION=1 node tests/run-integration.mjs --outputs FILE --deployed FILE --out DIR --results FILE
//   --outputs   all stacks' outputs, {"ApiUrl": "https://…", "PostLedgerEntryFunction": "…"}
//   --deployed  the code that dev runs, read from Lambda: [{"function": "authorise-payment", "code_sha256": "<hex>"}]
//   --out       build folder: the raw reports go into its `reports/`
//   --results   written: the manifest's `tests.integration`, for `build.mjs --integration`
// RUN_INTEGRATION is never set here: it comes from the CI environment.
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { suite } from '../tools/checks.mjs';

const options = Object.fromEntries(['outputs', 'deployed', 'out', 'results'].map((name) => [name, { type: 'string' }]));
const { values } = parseArgs({ options });
for (const name of Object.keys(options)) if (!values[name]) throw new Error(`\`--${name}\` is needed`);

try {
  process.env.STACK_OUTPUTS = await readFile(values.outputs, 'utf8');
  const { clean: _, ...counts } = await suite('integration', join(resolve(values.out), 'reports'));
  const results = { ...counts, run_integration: process.env.RUN_INTEGRATION === '1', deployed: JSON.parse(await readFile(values.deployed, 'utf8')) };
  await writeFile(values.results, `${JSON.stringify(results, null, 2)}\n`);
  console.log(JSON.stringify(results));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
