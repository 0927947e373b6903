/** What `/health` answers: the commit that runs, so that a smoke test sees which one it met. */
export function health(): { statusCode: number; body: Record<string, unknown> } {
  return { statusCode: 200, body: { status: 'ok', commit: process.env.COMMIT_SHA ?? 'unknown', stage: process.env.STAGE ?? 'unknown' } };
}
