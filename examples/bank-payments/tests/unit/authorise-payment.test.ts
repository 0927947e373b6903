import { expect, test } from 'vitest';
import { handler } from '../../src/functions/authorise-payment.js';
import { PAYMENT, read, urlEvent } from '../samples.js';

const post = async (body: string, base64 = false) => read(await handler(urlEvent('POST', '/payments', body, base64)));

test('a right payment is authorised, with masked accounts', async () => {
  expect(await post(JSON.stringify(PAYMENT))).toEqual({
    statusCode: 201,
    body: {
      payment_id: expect.stringMatching(/^pay_[0-9a-f]{32}$/), status: 'authorised',
      debtor: 'DE****************3000', creditor: 'GB****************5432', minor_units: '1234', currency: 'EUR',
    },
  });
});

test('a body in base64, as function URLs send it, is read too', async () => {
  expect((await post(Buffer.from(JSON.stringify(PAYMENT)).toString('base64'), true)).statusCode).toBe(201);
});

test('everything that is wrong is listed at once', async () => {
  const body = { idempotency_key: 'short', debtor_iban: 'DE00', creditor_iban: 'GB82', amount: '0', currency: 'EUR' };
  const answer = await post(JSON.stringify(body));
  expect(answer.statusCode).toBe(422);
  expect((answer.body.problems as { field: string }[]).map(({ field }) => field))
    .toEqual(['idempotency_key', 'debtor_iban', 'creditor_iban', 'amount']);
});

test.each([
  [{ ...PAYMENT, creditor_iban: PAYMENT.debtor_iban }, [{ field: 'creditor_iban', message: 'must not be the debtor\'s own account' }]],
  [{ ...PAYMENT, amount: 12.34 }, [{ field: 'amount', message: 'must be text' }]],
  ['text', [{ field: 'body', message: 'must be a JSON object' }]],
  [null, [{ field: 'body', message: 'must be a JSON object' }]],
])('%j is refused', async (body, problems) => {
  expect(await post(JSON.stringify(body))).toEqual({ statusCode: 422, body: { problems } });
});

test.each([
  ['POST', '/payments', '{', 400],
  ['POST', '/payments', undefined, 400],
  ['GET', '/payments', undefined, 405],
  ['GET', '/elsewhere', undefined, 404],
  ['POST', '/health', '{}', 404],
])('%s %s with body %s answers %i', async (method, path, body, status) => {
  expect(read(await handler(urlEvent(method, path, body))).statusCode).toBe(status);
});
