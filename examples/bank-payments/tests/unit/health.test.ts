import { afterEach, expect, test, vi } from 'vitest';
import { health } from '../../src/health.js';

afterEach(() => vi.unstubAllEnvs());

test('health names the commit and the stage that run', () => {
  vi.stubEnv('COMMIT_SHA', 'a'.repeat(40));
  vi.stubEnv('STAGE', 'dev');
  expect(health()).toEqual({ statusCode: 200, body: { status: 'ok', commit: 'a'.repeat(40), stage: 'dev' } });
});

test('health outside of a deployment says that it does not know', () => {
  vi.stubEnv('COMMIT_SHA', undefined);
  vi.stubEnv('STAGE', undefined);
  expect(health().body).toEqual({ status: 'ok', commit: 'unknown', stage: 'unknown' });
});
