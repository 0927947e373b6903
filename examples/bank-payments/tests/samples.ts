import type { LambdaFunctionURLEvent } from 'aws-lambda';

/** A payment that is right in everything; tests change one field. */
export const PAYMENT = {
  idempotency_key: 'order-2026-0001',
  debtor_iban: 'DE89370400440532013000',
  creditor_iban: 'GB82WEST12345698765432',
  amount: '12.34',
  currency: 'EUR',
};

/** A function URL's event (payload format 2.0) with the parts that the handlers read. */
export function urlEvent(method: string, rawPath: string, body?: string, isBase64Encoded = false): LambdaFunctionURLEvent {
  return { version: '2.0', rawPath, body, isBase64Encoded, requestContext: { http: { method, path: rawPath } } } as LambdaFunctionURLEvent;
}

/** Status and parsed body of a function URL's answer. */
export function read(result: unknown): { statusCode: number; body: Record<string, unknown> } {
  const { statusCode, body } = result as { statusCode: number; body: string };
  return { statusCode, body: JSON.parse(body) as Record<string, unknown> };
}
