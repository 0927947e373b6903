import { expect, test } from 'vitest';
import { parseAmount } from '../../src/amount.js';

test.each([
  ['12.34', 'EUR', 1234n], ['12.3', 'EUR', 1230n], ['12', 'EUR', 1200n], ['0.01', 'NZD', 1n], ['500', 'JPY', 500n],
  ['999999999.99', 'EUR', 99_999_999_999n],
])('%s %s is %s minor units', (amount, currency, minorUnits) => {
  expect(parseAmount(amount, currency)).toEqual({ ok: true, minorUnits });
});

test.each([
  ['0', 'EUR', 'must be more than zero'],
  ['0.00', 'EUR', 'must be more than zero'],
  ['1000000000.00', 'EUR', 'is more than a single payment may be'],
  ['12.345', 'EUR', '`EUR` has 2 digits after the point'],
  ['1.5', 'JPY', '`JPY` has 0 digits after the point'],
  ['1.00', 'XYZ', 'currency `XYZ` is not served'],
  ['-1', 'EUR', 'must be a decimal like `12.34`'],
  ['1e3', 'EUR', 'must be a decimal like `12.34`'],
  ['01.00', 'EUR', 'must be a decimal like `12.34`'],
  ['', 'EUR', 'must be a decimal like `12.34`'],
])('`%s` %s is refused: %s', (amount, currency, reason) => {
  expect(parseAmount(amount, currency)).toEqual({ ok: false, reason });
});
