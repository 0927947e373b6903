/** One thing that happened to a payment; `sequence` orders them, and `event_id` tells a repeat from a second event. */
export type PaymentEvent = { event_id: string; sequence: number; type: EventType };
export type Status = 'unknown' | 'authorised' | 'cancelled' | 'settled' | 'refunded';
type EventType = Exclude<Status, 'unknown'>;

const NEXT: Readonly<Record<Status, readonly EventType[]>> = {
  unknown: ['authorised'],
  authorised: ['cancelled', 'settled'],
  cancelled: [],
  settled: ['refunded'],
  refunded: [],
};

/** A payment's status: a fold over its events, in their own order, each counted once. */
export function statusOf(events: readonly PaymentEvent[]): { status: Status } | { problem: string } {
  const once = new Map(events.map((event) => [event.event_id, event]));
  let status: Status = 'unknown';
  for (const event of [...once.values()].sort((a, b) => a.sequence - b.sequence)) {
    if (!NEXT[status].includes(event.type)) return { problem: `\`${event.type}\` cannot follow \`${status}\`` };
    status = event.type;
  }
  return { status };
}

/** Whether a value read from JSON is an event. */
export function isPaymentEvent(value: unknown): value is PaymentEvent {
  if (typeof value !== 'object' || value === null) return false;
  const { event_id, sequence, type } = value as Partial<Record<keyof PaymentEvent, unknown>>;
  return typeof event_id === 'string' && Number.isSafeInteger(sequence)
    && typeof type === 'string' && type !== 'unknown' && Object.hasOwn(NEXT, type);
}
