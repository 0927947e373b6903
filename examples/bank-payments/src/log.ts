const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
type Level = (typeof LEVELS)[number];

/** Writes one JSON object a line, from `LOG_LEVEL` up; callers pass masked account numbers only (POL-017). */
export function log(level: Level, message: string, fields: Record<string, unknown> = {}): void {
  const least = LEVELS.indexOf((process.env.LOG_LEVEL ?? 'info') as Level);
  if (LEVELS.indexOf(level) < least) return;
  const { STAGE: stage, COMMIT_SHA: commit_sha } = process.env;
  process.stdout.write(`${JSON.stringify({ timestamp: new Date().toISOString(), level, message, stage, commit_sha, ...fields })}\n`);
}
