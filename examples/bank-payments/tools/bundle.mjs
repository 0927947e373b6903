import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { zipSync } from 'fflate';
import { overlayOf, ROOT } from './overlay.mjs';

/** Bundles `src/functions/{name}.ts` into one `index.js` and answers the Lambda ZIP's bytes: the same source gives the same bytes. */
export async function bundle(name, variant) {
  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: [join('src', 'functions', `${name}.ts`)],
    outfile: 'index.js',
    bundle: true,
    write: false,
    platform: 'node',
    // runs on Lambda's nodejs22.x and on the node of a developer's machine
    target: 'node20',
    format: 'cjs',
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'error',
    plugins: [{
      name: 'variant',
      setup({ onLoad }) {
        onLoad({ filter: /\.ts$/ }, async ({ path }) => {
          const file = overlayOf(path, variant);
          return file && { contents: await readFile(file), loader: 'ts' };
        });
      },
    }],
  });
  return zip({ 'index.js': outputFiles[0].contents });
}

/** A ZIP with sorted entries, one time stamp (the earliest that a ZIP can hold) and plain file modes. */
function zip(files) {
  const entry = { level: 9, mtime: new Date(1980, 0, 1), os: 3, attrs: 0o100644 << 16 };
  return zipSync(Object.fromEntries(Object.keys(files).sort().map((name) => [name, [files[name], entry]])));
}
