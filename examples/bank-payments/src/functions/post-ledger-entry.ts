import { linesOf, type Line } from '../ledger.js';
import { log } from '../log.js';

/** Takes the event `payment.authorised` and answers the lines to post. */
export async function handler(event: { detail?: unknown }): Promise<{ lines: Line[] }> {
  const lines = linesOf(event.detail);
  log('info', 'ledger entry made', { lines: lines.length });
  return { lines };
}
