import { differences, InvalidPaymentEvent, isLine } from '../ledger.js';
import { log } from '../log.js';

/** Takes a day's ledger lines and answers whether debits and credits cancel out in every currency. */
export async function handler(event: { lines?: unknown }): Promise<{ balanced: boolean; differences: ReturnType<typeof differences> }> {
  if (!Array.isArray(event.lines) || !event.lines.every(isLine)) throw new InvalidPaymentEvent('`lines` must be a list of ledger lines');
  const found = differences(event.lines);
  if (found.length > 0) log('error', 'ledger does not balance', { differences: found });
  return { balanced: found.length === 0, differences: found };
}
