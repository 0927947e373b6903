import { readFileSync } from 'node:fs';
import { Client } from 'pg';
import { expect, test } from 'vitest';
import { linesOf } from '../../src/ledger.js';
import { skipIfNoDb } from './guards.js';

/** A connection to dev's database, under the authorities of PGSSLROOTCERT where it names some, as PostgreSQL's own programs take it. */
function connection(): Client {
  const { hostname, port, username, password, pathname, searchParams } = new URL(process.env.DATABASE_URL ?? '');
  const authorities = process.env.PGSSLROOTCERT;
  return new Client({
    host: hostname, port: Number(port || 5432), user: decodeURIComponent(username), password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
    ssl: searchParams.get('sslmode') === 'disable' ? false : { ...(authorities && { ca: readFileSync(authorities, 'utf8') }) },
    // as PostgreSQL writes them
    types: { getTypeParser: () => (text: string) => text },
  });
}

/** Runs SQL in dev's database and takes it back again, because the ledger itself takes nothing back: the rows as text, or what PostgreSQL said against it. */
async function inLedger(...sql: string[]): Promise<{ ok: boolean; printed: string }> {
  const client = connection();
  await client.connect();
  const printed: string[] = [];
  try {
    for (const text of ['BEGIN', ...sql, 'SET CONSTRAINTS ALL IMMEDIATE']) {
      const { rows } = await client.query({ text, rowMode: 'array' });
      printed.push(...(rows ?? []).map((row) => row.join('|')));
    }
    return { ok: true, printed: printed.join('\n') };
  } catch (error) {
    return { ok: false, printed: (error as Error).message };
  } finally {
    await client.query('ROLLBACK');
    await client.end();
  }
}

/** Posts what post-ledger-entry makes of a payment of 12.34 with a fee of 0.10, changed or not. */
function post(change = (lines: ReturnType<typeof linesOf>) => lines): string {
  const payment_id = `pay_${'0'.repeat(32)}`;
  const lines = linesOf({ payment_id, debtor_account: 'test-1', creditor_account: 'test-2', amount: '12.34', fee: '0.10', currency: 'EUR' });
  return `SELECT ledger.post('${payment_id}', 'payment', '2026-05-02', '${JSON.stringify(change(lines))}') > 0`;
}

skipIfNoDb()('the ledger\'s database in dev', () => {
  test('what post-ledger-entry makes is posted', async () => {
    const statement = `SELECT account, kind, side, minor_units FROM ledger."Kontoauszug" WHERE account LIKE 'test-%'`;
    expect(await inLedger(post(), statement)).toEqual({ ok: true, printed: 't\ntest-1|payment|debit|1244\ntest-2|payment|credit|1234' });
  });

  test('an entry that does not balance is refused', async () => {
    const { ok, printed } = await inLedger(post((lines) => lines.slice(0, 2)));
    expect([ok, printed]).toEqual([false, expect.stringMatching(/entry \d+ does not balance: -10 EUR are left over/)]);
  });

  test.each([
    `UPDATE ledger.line SET account = 'test-3' WHERE account = 'test-1'`, `DELETE FROM ledger.entry`, `TRUNCATE ledger.line`, `TRUNCATE ledger.line_2026_05`,
  ])('%s is refused', async (change) => {
    const { ok, printed } = await inLedger(post(), 'SET CONSTRAINTS ALL IMMEDIATE', change);
    expect([ok, printed]).toEqual([false, expect.stringContaining('is append-only: post a correction')]);
  });

  test('a day goes to the archive as a script', async () => {
    const { printed } = await inLedger(post(), `SELECT ledger.archive_script('2026-05-02')`);
    expect(printed).toMatch(/^COPY archive\.line \(.*\) FROM stdin;\n(.*\n)*\d+\t1\t2026-05-02\ttest-1\tEUR\t-1244\n(.*\n)*\\\.$/m);
  });
});
