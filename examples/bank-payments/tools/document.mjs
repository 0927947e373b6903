import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Changes the build's own document in a build folder, `build-manifest.json`, whole or not at all; what other steps noted in it stays as `change` leaves it. */
export async function changeDocument(out, change) {
  const file = join(out, 'build-manifest.json');
  const text = await readFile(file, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return '{}';
    throw error;
  });
  await mkdir(out, { recursive: true });
  await writeFile(`${file}.new`, `${JSON.stringify(change(JSON.parse(text)), null, 2)}\n`);
  await rename(`${file}.new`, file);
}
