import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const project = (name) => ({ test: { name, include: [`tests/${name}/*.test.ts`], testTimeout: 30_000 } });

export default defineConfig({
  test: {
    projects: ['unit', 'policy', 'integration'].map(project),
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts', 'index.ts'],
      reporter: ['text-summary', 'json-summary'],
      // among the raw reports that are uploaded, which stay
      reportsDirectory: join('build', 'commit', 'reports'),
      clean: false,
      thresholds: { lines: 80, functions: 80 },
    },
  },
});
