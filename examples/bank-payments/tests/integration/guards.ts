import { describe } from 'vitest';

// ADR-053: RUN_INTEGRATION comes from the environment `dev`. Where a guard fires the tests skip, and a run that skipped cannot be Built.
const { RUN_INTEGRATION, DATABASE_URL } = process.env;

/** Tests that need live deployed dev. */
export const skipIfNoAws = () => describe.skipIf(RUN_INTEGRATION !== '1');

/** Tests that need dev's database. */
export const skipIfNoDb = () => describe.skipIf(RUN_INTEGRATION !== '1' || !DATABASE_URL);
