import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { linesOf } from '../../src/ledger.js';

/** Runs SQL in dev's database and takes it back again, because the ledger itself takes nothing back: what psql printed, and whether all of it ran. */
function inLedger(...sql: string[]): { ok: boolean; printed: string } {
  const { hostname, port, username, password, pathname, searchParams } = new URL(process.env.DATABASE_URL ?? '');
  const { status, stdout, stderr, error } = spawnSync('psql', ['-qAtX', '-v', 'ON_ERROR_STOP=1', '-f', '-'], {
    input: ['BEGIN', ...sql, 'SET CONSTRAINTS ALL IMMEDIATE', 'ROLLBACK', ''].join(';\n'),
    encoding: 'utf8',
    // not as an argument, which every process of the machine can read
    env: {
      PATH: process.env.PATH, PGHOST: hostname, PGPORT: port || '5432', PGUSER: decodeURIComponent(username), PGPASSWORD: decodeURIComponent(password),
      PGDATABASE: decodeURIComponent(pathname.slice(1)), PGSSLMODE: searchParams.get('sslmode') ?? 'prefer', PGSSLROOTCERT: process.env.PGSSLROOTCERT,
    },
  });
  if (error) throw error;
  return { ok: status === 0, printed: (stdout + stderr).trim() };
}

/** Posts what post-ledger-entry makes of a payment of 12.34 with a fee of 0.10, changed or not. */
function post(change = (lines: ReturnType<typeof linesOf>) => lines): string {
  const payment_id = `pay_${'0'.repeat(32)}`;
  const lines = linesOf({ payment_id, debtor_account: 'test-1', creditor_account: 'test-2', amount: '12.34', fee: '0.10', currency: 'EUR' });
  return `SELECT ledger.post('${payment_id}', 'payment', '2026-05-02', '${JSON.stringify(change(lines))}') > 0`;
}

// as the ADR's guards: without RUN_INTEGRATION and a database these skip, and a run that skipped cannot be Built
describe.skipIf(process.env.RUN_INTEGRATION !== '1' || !process.env.DATABASE_URL)('the ledger\'s database in dev', () => {
  test('what post-ledger-entry makes is posted', () => {
    const statement = `SELECT account, kind, side, minor_units FROM ledger."Kontoauszug" WHERE account LIKE 'test-%'`;
    expect(inLedger(post(), statement)).toEqual({ ok: true, printed: 't\ntest-1|payment|debit|1244\ntest-2|payment|credit|1234' });
  });

  test('an entry that does not balance is refused', () => {
    const { ok, printed } = inLedger(post((lines) => lines.slice(0, 2)));
    expect([ok, printed]).toEqual([false, expect.stringMatching(/entry \d+ does not balance: -10 EUR are left over/)]);
  });

  test.each([
    `UPDATE ledger.line SET account = 'test-3' WHERE account = 'test-1'`, `DELETE FROM ledger.entry`, `TRUNCATE ledger.line`, `TRUNCATE ledger.line_2026_05`,
  ])('%s is refused', (change) => {
    const { ok, printed } = inLedger(post(), 'SET CONSTRAINTS ALL IMMEDIATE', change);
    expect([ok, printed]).toEqual([false, expect.stringContaining('is append-only: post a correction')]);
  });

  test('a day goes to the archive as a script', () => {
    const { printed } = inLedger(post(), `SELECT ledger.archive_script('2026-05-02')`);
    expect(printed).toMatch(/^COPY archive\.line \(.*\) FROM stdin;\n(.*\n)*\d+\t1\t2026-05-02\ttest-1\tEUR\t-1244\n(.*\n)*\\\.$/m);
  });
});
