import { afterEach, expect, test, vi } from 'vitest';
import { log } from '../../src/log.js';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test('a log line is one JSON object with stage and commit', () => {
  vi.stubEnv('STAGE', 'uat');
  vi.stubEnv('COMMIT_SHA', 'abc');
  const written = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  log('warn', 'payment refused', { fields: ['amount'] });
  const line = String(written.mock.calls[0]?.[0]);
  expect(line).toMatch(/^[^\n]*\n$/);
  expect(JSON.parse(line)).toEqual({
    timestamp: expect.any(String), level: 'warn', message: 'payment refused', stage: 'uat', commit_sha: 'abc', fields: ['amount'],
  });
});

test('lines below the level are not written', () => {
  vi.stubEnv('LOG_LEVEL', 'error');
  const written = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  log('info', 'payment authorised');
  log('error', 'ledger does not balance');
  expect(written).toHaveBeenCalledTimes(1);
});
