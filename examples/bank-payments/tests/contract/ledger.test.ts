import { contract, violations } from '@bank-payments/contracts';
import { describe, expect, test } from 'vitest';
import { handler as post } from '../../src/functions/post-ledger-entry.js';
import { handler as reconcile } from '../../src/functions/reconcile-ledger.js';

const [EVENT] = contract('payment-authorised').examples as [Record<string, unknown>];

describe('the ledger takes what `payment.authorised` promises', () => {
  test.each(contract('payment-authorised').examples)('%j is posted', async (detail) => {
    const posted = await post({ detail });
    expect(violations('ledger-lines', posted)).toEqual([]);
    expect(await reconcile(posted)).toEqual({ balanced: true, differences: [] });
  });

  test.each(['payment_id', 'debtor_account', 'creditor_account', 'amount', 'currency'])('without `%s` the contract is broken, and nothing is posted', async (field) => {
    const { [field]: _, ...detail } = EVENT;
    expect(violations('payment-authorised', detail)).toEqual([`/ must have required property '${field}'`]);
    await expect(post({ detail })).rejects.toThrow();
  });
});

test('what the contract calls ledger lines can be reconciled', async () => {
  for (const lines of contract('ledger-lines').examples) expect(await reconcile(lines as { lines: unknown })).toHaveProperty('balanced', true);
});
