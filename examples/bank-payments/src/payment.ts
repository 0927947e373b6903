import { createHash } from 'node:crypto';
import { parseAmount } from './amount.js';
import { checkIban, maskIban } from './iban.js';

/** What a client sends; every field is text, checked here and nowhere else. */
const FIELDS = ['idempotency_key', 'debtor_iban', 'creditor_iban', 'amount', 'currency'] as const;
type Field = (typeof FIELDS)[number];

export type Problem = { field: string; message: string };
export type Authorised = {
  payment_id: string;
  status: 'authorised';
  debtor: string;
  creditor: string;
  minor_units: string;
  currency: string;
};

/** Authorises a payment, or lists everything that is wrong with it. */
export function authorise(body: unknown): { payment: Authorised } | { problems: Problem[] } {
  const request = fields(body);
  if ('problems' in request) return request;
  const problems: Problem[] = [];
  if (!/^[A-Za-z0-9-]{8,64}$/.test(request.idempotency_key)) {
    problems.push({ field: 'idempotency_key', message: 'must be 8 to 64 letters, digits or hyphens' });
  }
  const debtor = checkIban(request.debtor_iban);
  if (!debtor.ok) problems.push({ field: 'debtor_iban', message: debtor.reason });
  const creditor = checkIban(request.creditor_iban);
  if (!creditor.ok) problems.push({ field: 'creditor_iban', message: creditor.reason });
  const amount = parseAmount(request.amount, request.currency);
  if (!amount.ok) problems.push({ field: 'amount', message: amount.reason });
  if (debtor.ok && creditor.ok && debtor.iban === creditor.iban) {
    problems.push({ field: 'creditor_iban', message: 'must not be the debtor\'s own account' });
  }
  if (problems.length > 0 || !debtor.ok || !creditor.ok || !amount.ok) return { problems };
  const minorUnits = amount.minorUnits.toString();
  return {
    payment: {
      payment_id: paymentId([request.idempotency_key, debtor.iban, creditor.iban, minorUnits, request.currency]),
      status: 'authorised',
      debtor: maskIban(debtor.iban),
      creditor: maskIban(creditor.iban),
      minor_units: minorUnits,
      currency: request.currency,
    },
  };
}

/**
 * The id that follows from the key and the normalised payment: a request sent again is the same payment, a changed one is another.
 * As a JSON array, so that no two lists of parts read the same.
 */
export function paymentId(parts: readonly string[]): string {
  return `pay_${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)}`;
}

function fields(body: unknown): Record<Field, string> | { problems: Problem[] } {
  if (typeof body !== 'object' || body === null) return { problems: [{ field: 'body', message: 'must be a JSON object' }] };
  const given = body as Partial<Record<Field, unknown>>;
  const problems = FIELDS.filter((field) => typeof given[field] !== 'string').map((field) => ({ field, message: 'must be text' }));
  return problems.length > 0 ? { problems } : (given as Record<Field, string>);
}
