import { expect, test } from 'vitest';
import { inOrder, migrationsOf } from '../../tools/migrations.mjs';

test('the ledger\'s migrations are told in Flyway\'s order, whatever folder they lie in', async () => {
  const files = (await migrationsOf('payments', undefined)).map(({ file }) => file);
  expect(files.slice(0, 4)).toEqual(['V1__create_ledger.sql', 'V2__post_and_guard_entries.sql', 'V3__reports_and_comments.sql', '2026/V4__add_statement_text.sql']);
  expect(files.at(-1)).toBe('R__reconcile.sql');
});

test('a variant\'s file stands in for ours', async () => {
  const [first] = await migrationsOf('payments', 'edited-migration');
  expect([first?.file, first?.bytes.includes('{3,64}')]).toEqual(['V1__create_ledger.sql', true]);
});

test('versions are numbers, and repeatables follow by their description', () => {
  const wanted = ['V2__b.sql', 'V2.1__c.sql', 'x/V2_2__d.sql', 'V10__a.sql', 'R__Z.sql', 'a/R__a.sql'];
  expect(inOrder([...wanted].reverse())).toEqual(wanted);
});

test.each([
  [['v1__a.sql'], 'no migration that Flyway runs'], [['V1_a.sql'], 'no migration that Flyway runs'], [['V1__a.sql.bak'], 'no migration that Flyway runs'],
  [['V1__a.sql', 'V1.0__b.sql'], 'have the same version'],
])('%j is refused', (wrong, reason) => {
  expect(() => inOrder(wrong)).toThrow(reason);
});
