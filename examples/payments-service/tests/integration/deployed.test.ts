import { AwsClient } from 'aws4fetch';
import { describe, expect, test } from 'vitest';
import { call } from '../call.mjs';
import { PAYMENT } from '../samples.js';

/** Outputs of the deployed stacks, as `tests/run-integration.mjs` passes them on. */
const outputs = JSON.parse(process.env.STACK_OUTPUTS ?? '{}') as Record<string, string>;
const output = (name: string): string => {
  const value = outputs[name];
  if (value === undefined) throw new Error(`no stack has the output \`${name}\``);
  return value;
};
const post = (name: string, path: string, json: unknown) => call(new URL(path, output(name)), { method: 'POST', json });

/** Invokes a deployed function and answers its payload. */
async function invoke(name: string, payload: unknown): Promise<{ failed: boolean; payload: any }> {
  const { AWS_REGION: region = 'ap-southeast-2', AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env;
  const aws = new AwsClient({
    accessKeyId: AWS_ACCESS_KEY_ID ?? '', secretAccessKey: AWS_SECRET_ACCESS_KEY ?? '', sessionToken: AWS_SESSION_TOKEN,
    region, service: 'lambda', retries: 2,
  });
  const endpoint = AWS_ENDPOINT_URL ?? `https://lambda.${region}.amazonaws.com`;
  const answer = await aws.fetch(`${endpoint}/2015-03-31/functions/${output(name)}/invocations`, { method: 'POST', body: JSON.stringify(payload) });
  expect(answer.status).toBe(200);
  return { failed: answer.headers.has('x-amz-function-error'), payload: await answer.json() };
}

// as the ADR's guards: without RUN_INTEGRATION these skip, and a run that skipped cannot be Built
describe.skipIf(process.env.RUN_INTEGRATION !== '1')('deployed to dev', () => {
  test('a payment is authorised', async () => {
    const { status, body } = await post('ApiUrl', 'payments', PAYMENT);
    expect(status).toBe(201);
    expect(body).toMatchObject({ status: 'authorised', minor_units: '1234', currency: 'EUR' });
  });

  test('a payment sent twice is one payment', async () => {
    const [first, second] = await Promise.all([post('ApiUrl', 'payments', PAYMENT), post('ApiUrl', 'payments', PAYMENT)]);
    expect(first.body.payment_id).toBe(second.body.payment_id);
  });

  test('a wrong account is refused and named', async () => {
    const { status, body } = await post('ApiUrl', 'payments', { ...PAYMENT, debtor_iban: 'DE89370400440532013001' });
    expect(status).toBe(422);
    expect(body.problems).toEqual([{ field: 'debtor_iban', message: 'check digits do not match' }]);
  });

  test('a payment\'s events add up to its status', async () => {
    const events = ['authorised', 'settled'].map((type, sequence) => ({ event_id: `e${sequence}`, sequence, type }));
    expect(await post('StatusUrl', 'status', { events })).toEqual({ status: 200, body: { status: 'settled' } });
  });

  test('what is posted to the ledger balances', async () => {
    const { body } = await post('ApiUrl', 'payments', PAYMENT);
    const detail = { payment_id: body.payment_id, debtor_account: 'acc-1', creditor_account: 'acc-2', amount: '12.34', fee: '0.10', currency: 'EUR' };
    const posted = await invoke('PostLedgerEntryFunction', { detail });
    expect(posted.failed).toBe(false);
    expect(posted.payload.lines).toHaveLength(3);
    expect((await invoke('ReconcileLedgerFunction', posted.payload)).payload).toEqual({ balanced: true, differences: [] });
  });

  test('a malformed event is a function error that names the field', async () => {
    const { failed, payload } = await invoke('PostLedgerEntryFunction', { detail: {} });
    expect(failed).toBe(true);
    expect(payload.errorMessage).toContain('payment_id');
  });
});
