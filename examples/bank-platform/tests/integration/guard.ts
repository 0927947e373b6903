import { test } from 'vitest';

/** Without RUN_INTEGRATION=1 a test is skipped, which the gate refuses (ADR-053 "RUN_INTEGRATION requirement"). */
export const skipIfNoAws = (): typeof test => (process.env.RUN_INTEGRATION === '1' ? test : (test.skip as typeof test));
