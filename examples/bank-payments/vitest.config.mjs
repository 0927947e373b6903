import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { overlayOf } from './tools/overlay.mjs';

const variant = process.env.BUILD_VARIANT;
/** Tests and bundles see the same files: what a variant replaces, it replaces here too. */
const overlay = {
  name: 'variant',
  enforce: 'pre',
  load(id) {
    const file = overlayOf(id.split('?')[0], variant);
    return file && readFileSync(file, 'utf8');
  },
};
const project = (name) => ({
  plugins: [overlay],
  // no test leaves anything behind that another one would see
  test: { name, include: [`tests/${name}/*.test.ts`], pool: 'threads', isolate: false },
});

export default defineConfig({
  test: {
    projects: ['unit', 'contract', 'policy', 'integration'].map(project),
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary', 'json-summary'],
      // among the raw reports that are uploaded, which stay
      reportsDirectory: join('build', 'commit', 'reports'),
      clean: false,
      thresholds: { lines: 80, functions: 80 },
    },
  },
});
