import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of this service. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** The file that replaces `file` in a variant, which holds what another commit would have changed; none when it replaces nothing. */
export function overlayOf(file, variant) {
  if (!variant) return undefined;
  const path = relative(ROOT, file);
  if (isAbsolute(path) || path.startsWith('..')) return undefined;
  const replacement = join(ROOT, 'variants', variant, path);
  return existsSync(replacement) ? replacement : undefined;
}
