// The smoke test against a deployed stage (ADR-053, step 13): every `…Url` output's /health must be ok and name the commit.
// Usage: node tests/verify-deployment.mjs [--outputs FILE] [--sha SHA] [--deadline SECONDS]
// FILE (build/outputs.json, which the deploy wrote) holds the stack's outputs: {"ApiUrl": "https://…"} or what `aws cloudformation describe-stacks` prints.
// The commit is that of the run on GitHub Actions, where none is given. Ends 0 or 1.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { call } from './call.mjs';

const { GITHUB_SHA } = process.env;
const { values } = parseArgs({
  options: {
    outputs: { type: 'string', default: 'build/outputs.json' }, sha: { type: 'string', ...(GITHUB_SHA && { default: GITHUB_SHA }) }, deadline: { type: 'string', default: '30' },
  },
});
const until = Date.now() + Number(values.deadline) * 1000;
const given = JSON.parse(await readFile(values.outputs, 'utf8'));
const outputs = given.Stacks
  ? Object.fromEntries(given.Stacks.flatMap((stack) => stack.Outputs ?? []).map((of) => [of.OutputKey, of.OutputValue]))
  : given;
const urls = Object.entries(outputs).filter(([name]) => name.endsWith('Url'));
if (urls.length === 0) throw new Error('no output is a URL');

/** Why an answer is not the one wanted; none when it is. */
function wrong({ status, body }) {
  if (status !== 200) return `answered ${status} ${JSON.stringify(body)}`;
  if (body.status !== 'ok') return `status is \`${body.status}\``;
  if (values.sha && body.commit !== values.sha) return `runs commit \`${body.commit}\``;
  return undefined;
}

/** Asks until the answer is right or the deadline has come: a fresh function URL may need a moment. */
async function verify(name, url) {
  for (let pause_ms = 200; ; pause_ms = Math.min(pause_ms * 2, 3000)) {
    const reason = await call(new URL('health', url)).then(wrong, (error) => error.cause?.message ?? error.message);
    const done = reason === undefined || Date.now() + pause_ms > until;
    if (done) {
      console.log(JSON.stringify({ output: name, url, ok: reason === undefined, ...(reason && { reason }) }));
      return reason === undefined;
    }
    await sleep(pause_ms);
  }
}

const verdicts = await Promise.all(urls.map(([name, url]) => verify(name, url)));
process.exitCode = verdicts.every(Boolean) ? 0 : 1;
