import { expect, test } from 'vitest';
import { handler } from '../../src/functions/payment-status.js';
import { read, urlEvent } from '../samples.js';

const ask = async (body: unknown) => read(await handler(urlEvent('POST', '/status', JSON.stringify(body))));
const events = (...types: string[]) => types.map((type, sequence) => ({ event_id: `e${sequence}`, sequence, type }));

test.each([
  [[], 'unknown'],
  [['authorised'], 'authorised'],
  [['authorised', 'cancelled'], 'cancelled'],
  [['authorised', 'settled'], 'settled'],
  [['authorised', 'settled', 'refunded'], 'refunded'],
])('%j adds up to `%s`', async (types, status) => {
  expect(await ask({ events: events(...types) })).toEqual({ statusCode: 200, body: { status } });
});

test('events that come out of order and twice add up to the same', async () => {
  const [authorised, settled] = events('authorised', 'settled');
  expect(await ask({ events: [settled, authorised, settled] })).toEqual({ statusCode: 200, body: { status: 'settled' } });
});

test('a payment is not settled after it was cancelled', async () => {
  expect(await ask({ events: events('authorised', 'cancelled', 'settled') }))
    .toEqual({ statusCode: 422, body: { problem: '`settled` cannot follow `cancelled`' } });
});

test.each([
  null, {}, { events: 'none' }, { events: [null] }, { events: [{ event_id: 'e', sequence: 0.5, type: 'settled' }] },
  { events: [{ event_id: 'e', sequence: 0, type: 'unknown' }] }, { events: [{ event_id: 'e', sequence: 0, type: 'toString' }] },
])('%j is no list of events', async (body) => {
  expect((await ask(body)).statusCode).toBe(400);
});
