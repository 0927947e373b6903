import type { LambdaFunctionURLEvent, LambdaFunctionURLResult } from 'aws-lambda';
import { health } from './health.js';

export type Answer = { statusCode: number; body: Record<string, unknown> };

/** A function URL's handler: `/health`, one POST route, and a plain refusal for everything else. */
export function httpHandler(route: string, post: (body: unknown) => Answer) {
  return async (event: LambdaFunctionURLEvent): Promise<LambdaFunctionURLResult> => {
    const { method } = event.requestContext.http;
    if (method === 'GET' && event.rawPath === '/health') return json(health());
    if (event.rawPath !== route) return json({ statusCode: 404, body: { error: 'not found' } });
    if (method !== 'POST') return json({ statusCode: 405, body: { error: 'only POST is served' } });
    const body = parse(event);
    return json(body === undefined ? { statusCode: 400, body: { error: 'body must be JSON' } } : post(body));
  };
}

function json({ statusCode, body }: Answer): LambdaFunctionURLResult {
  return { statusCode, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

function parse(event: LambdaFunctionURLEvent): unknown {
  const text = event.body ?? '';
  try {
    return JSON.parse(event.isBase64Encoded ? Buffer.from(text, 'base64').toString('utf8') : text);
  } catch {
    return undefined;
  }
}
