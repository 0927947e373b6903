import { afterEach, describe, expect, test, vi } from 'vitest';
import { handler } from '../../src/functions/authorise-payment.js';
import { PAYMENT, urlEvent } from '../samples.js';

afterEach(() => vi.restoreAllMocks());

describe('POL-017 account numbers leave the service masked only', () => {
  test.each([
    ['authorised', PAYMENT],
    ['refused', { ...PAYMENT, amount: '0' }],
    ['refused for the account', { ...PAYMENT, creditor_iban: 'GB83WEST12345698765432' }],
  ])('neither the answer nor the log of a payment that is %s holds one', async (_, body) => {
    const written = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    const answer = JSON.stringify(await handler(urlEvent('POST', '/payments', JSON.stringify(body))));
    const lines = written.mock.calls.map(([line]) => String(line));
    expect(lines).toHaveLength(1);
    for (const iban of [body.debtor_iban, body.creditor_iban]) {
      expect(answer + lines.join('')).not.toContain(iban.slice(4, -4));
    }
  });
});
