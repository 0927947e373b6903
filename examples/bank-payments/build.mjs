// Builds one commit into a folder in the layout of the artefact store; see README.md.
import { readdirSync } from 'node:fs';
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { artefacts, withFolder } from './tools/artefacts.mjs';
import { suite, typecheck } from './tools/checks.mjs';
import { readManifest, withFlyway, withIntegration, withSchema, writeManifest } from './tools/manifest.mjs';
import { ROOT } from './tools/overlay.mjs';

const USAGE = `usage: node build.mjs --out DIR --sha SHA --repo REPO [--branch NAME] [--variant NAME]
         [--run-url URL] [--run-attempt N] [--actor NAME] [--without-integration | --integration FILE [--stage dev]]
         [--flyway FILE.json] [--schema FILE.sql]`;

function settings() {
  const text = (value) => ({ type: 'string', ...(value !== undefined && { default: value }) });
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: run } = process.env;
  const { values } = parseArgs({
    options: {
      out: text(), sha: text(), repo: text(), branch: text('main'), variant: text(), stage: text('dev'),
      'run-url': text(run ? `${server}/${repository}/actions/runs/${run}` : 'local'),
      'run-attempt': text(process.env.GITHUB_RUN_ATTEMPT ?? '1'),
      actor: text(process.env.GITHUB_ACTOR ?? 'local'),
      integration: text(), flyway: text(), schema: text(),
      'without-integration': { type: 'boolean', default: false },
    },
  });
  const wrong = (message) => Object.assign(new Error(message), { usage: true });
  if (!values.out || !values.sha || !values.repo) throw wrong('`--out`, `--sha` and `--repo` are needed');
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(values.sha)) throw wrong('`--sha` must be 40 or 64 lowercase hex digits');
  if (!/^[a-z0-9][a-z0-9._-]{0,99}$/.test(values.repo)) throw wrong('`--repo` must be a repository\'s name');
  if (values.variant && !readdirSync(join(ROOT, 'variants')).includes(values.variant)) throw wrong(`no variant \`${values.variant}\``);
  if (values.integration && values['without-integration']) throw wrong('`--integration` and `--without-integration` exclude each other');
  return { ...values, out: resolve(values.out) };
}

/** Bundles, synthesises, checks and tests; everything that takes a process of its own runs beside the rest. */
async function build({ out, sha, repo, branch, variant, ...given }) {
  const reports = join(out, 'reports');
  await Promise.all(['modules', 'reports', 'build-manifest.json'].map((of) => rm(join(out, of), { recursive: true, force: true })));
  await mkdir(reports, { recursive: true });
  return withFolder(async (coverage) => {
    // all are waited for, so that none still writes when one has failed
    const results = await Promise.allSettled([
      typecheck(reports),
      suite('unit', reports, { variant, coverage }),
      suite('policy', reports, { variant }),
      artefacts(out, variant),
    ]);
    const failed = results.filter(({ status }) => status === 'rejected');
    if (failed.length > 0) throw new Error(failed.map(({ reason }) => reason.message).join('\n'));
    const [types, { clean: _, ...unit }, { clean, ...policy }, modules] = results.map(({ value }) => value);
    const rows = JSON.parse(await readFile(join(ROOT, 'policies.json'), 'utf8')).policies_satisfied.map(({ id }) => id);
    await copyFile(join(coverage, 'coverage-summary.json'), join(reports, 'coverage.json'));
    const { total } = JSON.parse(await readFile(join(reports, 'coverage.json'), 'utf8'));
    return {
      repo, commit_sha: sha, branch,
      build: { run_url: given['run-url'], run_attempt: Number(given['run-attempt']), actor: given.actor },
      modules,
      tests: {
        typecheck: types,
        unit: { ...unit, line_coverage: total.lines.pct, function_coverage: total.functions.pct },
        policy: { ...policy, policies_satisfied: rows.filter((id) => clean.includes(id)) },
      },
    };
  });
}

async function main() {
  const options = settings();
  const started = performance.now();
  // tests ran against what was built: it is completed, never built anew
  const earlier = (options.integration || options.schema) && (await readManifest(options.out, options.repo, options.sha));
  let facts = earlier || (await build(options));
  if (options.integration) facts = withIntegration(facts, JSON.parse(await readFile(options.integration, 'utf8')), options.stage);
  if (options.flyway) facts = await withFlyway(options.out, facts, JSON.parse(await readFile(options.flyway, 'utf8')));
  if (options.schema) facts = await withSchema(options.out, facts, await readFile(options.schema));
  const { modules, tests } = await writeManifest(options.out, facts);
  console.log(JSON.stringify({
    done: earlier ? 'completed' : 'built', out: options.out, seconds: Number(((performance.now() - started) / 1000).toFixed(1)),
    functions: modules.flatMap(({ functions }) => functions.map(({ name }) => name)),
    migrations: modules.flatMap(({ migrations = [] }) => migrations.map(({ file }) => file)), tests,
  }));
}

main().catch((error) => {
  console.error(error.usage ? `${error.message}\n${USAGE}` : error.message);
  process.exitCode = error.usage || error.code?.startsWith('ERR_PARSE_ARGS') ? 2 : 1;
});
