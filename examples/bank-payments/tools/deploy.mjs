// Step 7 of the pipeline: the gatekeeper applies the commit's stored artefacts to a stage. Stacks are called `{repo}-{stage}-{stack}`.
// Usage: node tools/deploy.mjs --stage dev --write build/outputs.json [--repo NAME --sha SHA]
//   --write   the outputs of all stacks in one object, for the tests
//   --repo, --sha   on GitHub Actions those of the run
// GATEKEEPER_ARTEFACT_BUCKET names the artefact store; AWS is reached as the AWS CLI does.
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';

const { GITHUB_REPOSITORY = '', GITHUB_SHA } = process.env;
const { values } = parseArgs({
  options: {
    stage: { type: 'string' }, write: { type: 'string' },
    repo: { type: 'string', default: GITHUB_REPOSITORY.split('/').at(-1) }, sha: { type: 'string', ...(GITHUB_SHA && { default: GITHUB_SHA }) },
  },
});
const { stage, write, repo, sha } = values;
for (const name of ['stage', 'write', 'repo', 'sha']) if (!values[name]) throw new Error(`\`--${name}\` is needed`);

const of = ['--stage', stage, '--repo', repo, '--sha', sha, '--stack-name', '{repo}-{stage}-{stack}', '--output', 'json'];
const { error, status, stdout } = spawnSync('gatekeeper', ['deploy', ...of], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
if (error) throw error;
if (status !== 0) {
  console.error(stdout);
  process.exit(status ?? 1);
}
const { stacks } = JSON.parse(stdout);
for (const { subject, detail } of stacks) console.log(`${subject}: ${detail}`);
await mkdir(dirname(write), { recursive: true });
await writeFile(write, `${JSON.stringify(Object.assign({}, ...stacks.map(({ outputs }) => outputs)), null, 2)}\n`);
