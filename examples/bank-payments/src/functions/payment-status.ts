import { isPaymentEvent, statusOf } from '../history.js';
import { httpHandler } from '../http.js';

/** `POST /status`: the status that a payment's events add up to. */
export const handler = httpHandler('/status', (body) => {
  const events = (body as { events?: unknown } | null)?.events;
  if (!Array.isArray(events) || !events.every(isPaymentEvent)) {
    return { statusCode: 400, body: { error: '`events` must be a list of payment events' } };
  }
  const result = statusOf(events);
  return { statusCode: 'problem' in result ? 422 : 200, body: result };
});
