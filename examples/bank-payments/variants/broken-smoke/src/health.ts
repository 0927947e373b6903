/** As `src/health.ts`, and asks for the settlement calendar, which no template sets: right in its unit test, wrong wherever it is deployed. */
export function health(): { statusCode: number; body: Record<string, unknown> } {
  const commit = process.env.COMMIT_SHA ?? 'unknown';
  const stage = process.env.STAGE ?? 'unknown';
  if (!process.env.SETTLEMENT_CALENDAR_URL) return { statusCode: 500, body: { status: 'error', commit, stage, reason: '`SETTLEMENT_CALENDAR_URL` is not set' } };
  return { statusCode: 200, body: { status: 'ok', commit, stage } };
}
