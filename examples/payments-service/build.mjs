// Builds one commit into a folder in the layout of the artefact store; see README.md.
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle } from './build/bundle.mjs';
import { suite, typecheck } from './build/checks.mjs';
import { digest, readManifest, withIntegration, writeManifest } from './build/manifest.mjs';
import { ROOT } from './build/overlay.mjs';

const USAGE = `usage: node build.mjs --out DIR --sha SHA --repo REPO [--branch NAME] [--variant broken-smoke]
         [--run-url URL] [--run-attempt N] [--actor NAME] [--without-integration | --integration FILE [--stage dev]]`;

function settings() {
  const text = (value) => ({ type: 'string', ...(value !== undefined && { default: value }) });
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: run } = process.env;
  const { values } = parseArgs({
    options: {
      out: text(), sha: text(), repo: text(), branch: text('main'), variant: text(), stage: text('dev'),
      'run-url': text(run ? `${server}/${repository}/actions/runs/${run}` : 'local'),
      'run-attempt': text(process.env.GITHUB_RUN_ATTEMPT ?? '1'),
      actor: text(process.env.GITHUB_ACTOR ?? 'local'),
      integration: text(),
      'without-integration': { type: 'boolean', default: false },
    },
  });
  const wrong = (message) => Object.assign(new Error(message), { usage: true });
  if (!values.out || !values.sha || !values.repo) throw wrong('`--out`, `--sha` and `--repo` are needed');
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(values.sha)) throw wrong('`--sha` must be 40 or 64 lowercase hex digits');
  if (!/^[a-z0-9][a-z0-9._-]{0,99}$/.test(values.repo)) throw wrong('`--repo` must be a repository\'s name');
  if (values.variant && values.variant !== 'broken-smoke') throw wrong(`no variant \`${values.variant}\``);
  if (values.integration && values['without-integration']) throw wrong('`--integration` and `--without-integration` exclude each other');
  return { ...values, out: resolve(values.out) };
}

/** Bundles, synthesises, checks and tests; everything that takes a process of its own runs beside the rest. */
async function build({ out, sha, repo, branch, variant, ...given }) {
  const work = await mkdir(join(ROOT, 'dist'), { recursive: true }).then(() => mkdtemp(join(ROOT, 'dist', 'build-')));
  const reports = join(out, 'reports');
  await Promise.all(['modules', 'reports', 'build-manifest.json'].map((of) => rm(join(out, of), { recursive: true, force: true })));
  await mkdir(reports, { recursive: true });
  try {
    // all are waited for, so that none still writes when one has failed
    const results = await Promise.allSettled([
      typecheck(reports),
      suite('unit', reports, { variant, coverage: join(work, 'coverage') }),
      suite('policy', reports, { variant }),
      artefacts(out, work, variant),
    ]);
    const failed = results.filter(({ status }) => status === 'rejected');
    if (failed.length > 0) throw new Error(failed.map(({ reason }) => reason.message).join('\n'));
    const [types, { clean: _, ...unit }, { clean: policies_satisfied, ...policy }, modules] = results.map(({ value }) => value);
    await copyFile(join(work, 'coverage', 'coverage-summary.json'), join(reports, 'coverage.json'));
    const { total } = JSON.parse(await readFile(join(reports, 'coverage.json'), 'utf8'));
    return {
      repo, commit_sha: sha, branch,
      build: { run_url: given['run-url'], run_attempt: Number(given['run-attempt']), actor: given.actor },
      modules,
      tests: {
        typecheck: types,
        unit: { ...unit, line_coverage: total.lines.pct, function_coverage: total.functions.pct },
        policy: { ...policy, policies_satisfied },
      },
    };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Writes every ZIP and template, and answers the manifest's modules. */
async function artefacts(out, work, variant) {
  const { MODULES, synthesise } = await import('./infra/app.mjs');
  const moduleOf = (name) => MODULES.find(({ functions }) => name in functions).id;
  const zipOf = (name) => join(out, 'modules', moduleOf(name), 'functions', `${name}.zip`);
  const names = MODULES.flatMap(({ functions }) => Object.keys(functions));
  const zips = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await write(zipOf(name), await bundle(name, variant))])));
  const stacks = await synthesise(join(work, 'cdk.out'), zipOf);
  return Promise.all(MODULES.map(async ({ id, stack, functions }) => ({
    id,
    functions: Object.entries(functions).map(([name, construct]) => ({ name, ...zips[name], stack, logical_id: stacks[stack].logicalId(construct) })),
    stacks: [{ name: stack, ...(await write(join(out, 'modules', id, 'cloudformation', `${stack}.json`), stacks[stack].template)) }],
  })));
}

async function write(file, bytes) {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, bytes);
  return digest(bytes);
}

async function main() {
  const options = settings();
  const started = performance.now();
  // tests ran against what was built: it is completed, never built anew
  const earlier = options.integration && (await readManifest(options.out, options.repo, options.sha));
  let facts = earlier || (await build(options));
  if (options.integration) facts = withIntegration(facts, JSON.parse(await readFile(options.integration, 'utf8')), options.stage);
  const { modules, tests } = await writeManifest(options.out, facts);
  console.log(JSON.stringify({
    done: earlier ? 'completed' : 'built', out: options.out, seconds: Number(((performance.now() - started) / 1000).toFixed(1)),
    functions: modules.flatMap(({ functions }) => functions.map(({ name }) => name)), tests,
  }));
}

main().catch((error) => {
  console.error(error.usage ? `${error.message}\n${USAGE}` : error.message);
  process.exitCode = error.usage || error.code?.startsWith('ERR_PARSE_ARGS') ? 2 : 1;
});
