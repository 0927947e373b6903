import { expect, test } from 'vitest';
import { handler as post } from '../../src/functions/post-ledger-entry.js';
import { handler as reconcile } from '../../src/functions/reconcile-ledger.js';

const DETAIL = { payment_id: `pay_${'0'.repeat(32)}`, debtor_account: 'acc-1', creditor_account: 'acc-2', amount: '12.34', currency: 'EUR' };

test('a payment is a debit and a credit', async () => {
  expect(await post({ detail: DETAIL })).toEqual({
    lines: [
      { account: 'acc-1', minor_units: '-1234', currency: 'EUR' },
      { account: 'acc-2', minor_units: '1234', currency: 'EUR' },
    ],
  });
});

test('a fee is paid by the debtor', async () => {
  const { lines } = await post({ detail: { ...DETAIL, fee: '0.10' } });
  expect(lines.map(({ account, minor_units }) => [account, minor_units])).toEqual([['acc-1', '-1244'], ['acc-2', '1234'], ['fees', '10']]);
});

test('what is posted balances', async () => {
  const { lines } = await post({ detail: { ...DETAIL, fee: '0.35' } });
  expect(await reconcile({ lines })).toEqual({ balanced: true, differences: [] });
});

test('currencies are never set off against each other', async () => {
  const lines = [{ account: 'a', minor_units: '-5', currency: 'USD' }, { account: 'b', minor_units: '5', currency: 'EUR' }];
  expect(await reconcile({ lines })).toEqual({
    balanced: false,
    differences: [{ currency: 'EUR', minor_units: '5' }, { currency: 'USD', minor_units: '-5' }],
  });
});

test.each([
  [undefined, 'payment_id'],
  [{ ...DETAIL, payment_id: 'pay_1' }, 'payment_id'],
  [{ ...DETAIL, debtor_account: 7 }, 'debtor_account'],
  [{ ...DETAIL, creditor_account: 'A!' }, 'creditor_account'],
  [{ ...DETAIL, amount: '-1' }, 'amount'],
  [{ ...DETAIL, fee: 'much' }, 'fee'],
])('%j is refused, naming `%s`', async (detail, field) => {
  await expect(post({ detail })).rejects.toMatchObject({ name: 'InvalidPaymentEvent', message: expect.stringContaining(field) });
});

test.each([{}, { lines: [null] }, { lines: [{ account: 'a', minor_units: '1.5', currency: 'EUR' }] }])('%j is no ledger', async (event) => {
  await expect(reconcile(event)).rejects.toMatchObject({ name: 'InvalidPaymentEvent' });
});
