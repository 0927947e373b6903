import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import policies from '../../policies.json' with { type: 'json' };

test.each(policies.policies_satisfied)('$id has its tests', ({ id }) => {
  const file = `tests/policy/${id}.test.ts`;
  expect(existsSync(file), `\`policies.json\` says that ${id} is satisfied, and there is no \`${file}\``).toBe(true);
});
