import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ROOT } from './overlay.mjs';

/** Runs the type check; its report is what the compiler prints, with how much it read. */
export async function typecheck(reports) {
  const { code, output } = await run('typescript/bin/tsc', ['--noEmit', '--pretty', 'false', '--diagnostics']);
  await writeFile(join(reports, 'typecheck.txt'), output);
  const errors = output.split('\n').filter((line) => /error TS\d+:/.test(line)).length;
  if (code !== 0) throw new Error(`type check found ${errors} errors\n${output}`);
  return { errors, exit_code: code };
}

/** Each suite's projects of `vitest.config.mjs`: the contract tier is the unit tests' (ADR-053, CI step 2). */
const PROJECTS = { unit: ['unit', 'contract'], policy: ['policy'], integration: ['integration'] };

/** Runs one suite, writes its raw reports `{suite}.xml` and `{suite}.json`, and counts test by test. */
export async function suite(name, reports, { variant, coverage } = {}) {
  const json = join(reports, `${name}.json`);
  const args = [
    'run', ...PROJECTS[name].flatMap((project) => ['--project', project]), '--reporter=junit', `--outputFile.junit=${join(reports, `${name}.xml`)}`,
    '--reporter=json', `--outputFile.json=${json}`, '--reporter=dot',
  ];
  if (coverage) args.push('--coverage', `--coverage.reportsDirectory=${coverage}`);
  await mkdir(reports, { recursive: true });
  const { code, output } = await run('vitest/vitest.mjs', args, { BUILD_VARIANT: variant ?? '' });
  if (code !== 0) throw new Error(`${name} tests failed\n${output}`);
  return { ...tally(JSON.parse(await readFile(json, 'utf8'))), exit_code: code };
}

/** Counts the tests themselves: a report's own totals call an all-skipped suite a success. */
function tally({ testResults }) {
  const count = (tests, ...statuses) => tests.filter(({ status }) => statuses.includes(status)).length;
  const all = testResults.flatMap(({ assertionResults }) => assertionResults);
  return {
    passed: count(all, 'passed'),
    failed: count(all, 'failed'),
    skipped: all.length - count(all, 'passed', 'failed'),
    /** The files whose every test passed, as `POL-004` of `POL-004.test.ts`. */
    clean: testResults
      .filter(({ assertionResults: tests }) => tests.length > 0 && count(tests, 'passed') === tests.length)
      .map((file) => basename(file.name, '.test.ts')).sort(),
  };
}

/** Runs a tool of `node_modules` with this node; answers its exit code and all that it printed. */
function run(tool, args, environment = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(ROOT, 'node_modules', tool), ...args], {
      cwd: ROOT, env: { ...process.env, NO_COLOR: '1', ...environment }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    const chunks = [];
    child.stdout.on('data', (chunk) => chunks.push(chunk));
    child.stderr.on('data', (chunk) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output: Buffer.concat(chunks).toString('utf8') }));
  });
}
