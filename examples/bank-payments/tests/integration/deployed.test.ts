import { existsSync, readFileSync } from 'node:fs';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { expect, test } from 'vitest';
import { call } from '../call.mjs';
import { PAYMENT } from '../samples.js';
import { skipIfNoAws } from './guards.js';

/** Outputs of the deployed stacks, which the deploy wrote; `tests/run-integration.mjs` passes them on instead. */
const OUTPUTS = 'build/outputs.json';
const outputs = JSON.parse(process.env.STACK_OUTPUTS ?? (existsSync(OUTPUTS) ? readFileSync(OUTPUTS, 'utf8') : '{}')) as Record<string, string>;
const output = (name: string): string => {
  const value = outputs[name];
  if (value === undefined) throw new Error(`no stack has the output \`${name}\``);
  return value;
};
const post = (name: string, path: string, json: unknown) => call(new URL(path, output(name)), { method: 'POST', json });

/** Invokes a deployed function and answers its payload. */
async function invoke(name: string, payload: unknown): Promise<{ failed: boolean; payload: any }> {
  const lambda = new LambdaClient({});
  const { FunctionError, Payload } = await lambda.send(new InvokeCommand({ FunctionName: output(name), Payload: JSON.stringify(payload) }));
  return { failed: FunctionError !== undefined, payload: JSON.parse(Payload?.transformToString() ?? 'null') };
}

skipIfNoAws()('deployed to dev', () => {
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
