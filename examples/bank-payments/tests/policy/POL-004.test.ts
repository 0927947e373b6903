import { describe, expect, test } from 'vitest';
import { handler } from '../../src/functions/authorise-payment.js';
import { PAYMENT, read, urlEvent } from '../samples.js';

const id = async (body: unknown) => {
  const answer = read(await handler(urlEvent('POST', '/payments', JSON.stringify(body))));
  expect(answer.statusCode).toBe(201);
  return answer.body.payment_id;
};

describe('POL-004 a payment that is sent twice is one payment', () => {
  test('the same request has the same payment id', async () => {
    expect(await id(PAYMENT)).toBe(await id(PAYMENT));
  });

  test('so has the same payment in other words', async () => {
    expect(await id({ ...PAYMENT, debtor_iban: 'de89 3704 0044 0532 0130 00' })).toBe(await id(PAYMENT));
  });

  test.each([
    ['idempotency_key', 'order-2026-0002'], ['debtor_iban', 'NL91ABNA0417164300'], ['creditor_iban', 'BE68539007547034'],
    ['amount', '12.35'], ['currency', 'CHF'],
  ])('another `%s` is another payment', async (field, value) => {
    expect(await id({ ...PAYMENT, [field]: value })).not.toBe(await id(PAYMENT));
  });
});
