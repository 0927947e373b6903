import { parseAmount } from './amount.js';

/** One line of the ledger: a debit is negative, a credit positive, in minor units as text. */
export type Line = { account: string; minor_units: string; currency: string };

/** A malformed event: thrown, so that Lambda's retry and dead letter take it; its name is the `errorType` that they show. */
export class InvalidPaymentEvent extends Error {
  override readonly name = 'InvalidPaymentEvent';
}

/** The double entry of an authorised payment: debtor pays amount and fee, creditor and the fee account receive them. */
export function linesOf(detail: unknown): Line[] {
  const { payment_id, debtor_account, creditor_account, amount, fee, currency } = (detail ?? {}) as Record<string, unknown>;
  const account = (field: string, value: unknown): string => {
    if (typeof value === 'string' && /^[a-z0-9-]{3,40}$/.test(value)) return value;
    throw new InvalidPaymentEvent(`\`${field}\` must be an account id`);
  };
  const money = (field: string, value: unknown): bigint => {
    const parsed = parseAmount(String(value), String(currency));
    if (parsed.ok) return parsed.minorUnits;
    throw new InvalidPaymentEvent(`\`${field}\`: ${parsed.reason}`);
  };
  if (typeof payment_id !== 'string' || !/^pay_[0-9a-f]{32}$/.test(payment_id)) {
    throw new InvalidPaymentEvent('`payment_id` must be a payment\'s id');
  }
  const debtor = account('debtor_account', debtor_account);
  const creditor = account('creditor_account', creditor_account);
  const paid = money('amount', amount);
  const charged = fee === undefined ? 0n : money('fee', fee);
  const line = (of: string, minorUnits: bigint): Line => ({ account: of, minor_units: minorUnits.toString(), currency: String(currency) });
  const lines = [line(debtor, -(paid + charged)), line(creditor, paid)];
  return charged > 0n ? [...lines, line('fees', charged)] : lines;
}

/** What is left over in each currency; a ledger that balances has none. */
export function differences(lines: readonly Line[]): { currency: string; minor_units: string }[] {
  const sums = new Map<string, bigint>();
  for (const { currency, minor_units } of lines) sums.set(currency, (sums.get(currency) ?? 0n) + BigInt(minor_units));
  return [...sums].filter(([, sum]) => sum !== 0n).sort().map(([currency, sum]) => ({ currency, minor_units: sum.toString() }));
}

/** Whether a value read from JSON is a ledger line. */
export function isLine(value: unknown): value is Line {
  if (typeof value !== 'object' || value === null) return false;
  const { account, minor_units, currency } = value as Partial<Record<keyof Line, unknown>>;
  return typeof account === 'string' && typeof currency === 'string'
    && typeof minor_units === 'string' && /^-?[0-9]{1,18}$/.test(minor_units);
}
