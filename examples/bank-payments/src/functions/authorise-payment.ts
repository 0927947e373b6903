import { httpHandler } from '../http.js';
import { log } from '../log.js';
import { authorise } from '../payment.js';

/** `POST /payments`: authorises a payment. */
export const handler = httpHandler('/payments', (body) => {
  const result = authorise(body);
  if ('problems' in result) {
    log('warn', 'payment refused', { fields: result.problems.map(({ field }) => field) });
    return { statusCode: 422, body: result };
  }
  log('info', 'payment authorised', result.payment);
  return { statusCode: 201, body: result.payment };
});
