import { contract, violations } from '@bank-payments/contracts';
import { describe, expect, test } from 'vitest';
import { handler } from '../../src/functions/authorise-payment.js';
import { PAYMENT, read, urlEvent } from '../samples.js';

const post = async (body: unknown) => read(await handler(urlEvent('POST', '/payments', JSON.stringify(body))));

describe('POST /payments keeps its contract', () => {
  test.each(contract('payment-request').examples)('%j is authorised', async (request) => {
    const { statusCode, body } = await post(request);
    expect([statusCode, violations('payment', body)]).toEqual([201, []]);
  });

  test.each([{ ...PAYMENT, amount: '0' }, { ...PAYMENT, creditor_iban: 'GB00' }, {}, null])('%j is refused', async (request) => {
    const { statusCode, body } = await post(request);
    expect([statusCode, violations('refusal', body)]).toEqual([422, []]);
  });

  test('the contract itself tells an answer that breaks it', async () => {
    const { body } = await post(PAYMENT);
    expect(violations('payment', { ...body, debtor: PAYMENT.debtor_iban })).toEqual([expect.stringContaining('/debtor must match pattern')]);
  });
});
