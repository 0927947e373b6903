/** Digits after the point by currency (ISO 4217). */
const DIGITS_BY_CURRENCY: Readonly<Record<string, number>> = { AUD: 2, CHF: 2, EUR: 2, GBP: 2, JPY: 0, NZD: 2, USD: 2 };

/** The largest single payment, in minor units: 999,999,999.99 as in the SEPA credit transfer rulebook. */
const LARGEST_MINOR_UNITS = 99_999_999_999n;

export type AmountCheck = { ok: true; minorUnits: bigint } | { ok: false; reason: string };

/** Reads a decimal amount into minor units; a decimal string, since a JSON number would already have been rounded. */
export function parseAmount(amount: string, currency: string): AmountCheck {
  const digits = DIGITS_BY_CURRENCY[currency];
  if (digits === undefined) return { ok: false, reason: `currency \`${currency}\` is not served` };
  const match = /^(0|[1-9][0-9]{0,14})(?:\.([0-9]+))?$/.exec(amount);
  if (!match) return { ok: false, reason: 'must be a decimal like `12.34`' };
  const fraction = match[2] ?? '';
  if (fraction.length > digits) return { ok: false, reason: `\`${currency}\` has ${digits} digits after the point` };
  const minorUnits = BigInt(`${match[1]}${fraction.padEnd(digits, '0')}`);
  if (minorUnits === 0n) return { ok: false, reason: 'must be more than zero' };
  if (minorUnits > LARGEST_MINOR_UNITS) return { ok: false, reason: 'is more than a single payment may be' };
  return { ok: true, minorUnits };
}
