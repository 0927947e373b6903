import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { overlayOf, ROOT } from './overlay.mjs';

/** A database's migrations by their path below `db/{database}/migrations/`, as Flyway's `script` has it, in the order in which Flyway runs them. */
export async function migrationsOf(database, variant) {
  const folder = join('db', database, 'migrations');
  const added = variant ? await filesIn(join(ROOT, 'variants', variant, folder)) : [];
  const files = new Set([...(await filesIn(join(ROOT, folder))), ...added]);
  return Promise.all(inOrder(files).map(async (file) => {
    const path = join(ROOT, folder, file);
    return { database, file, bytes: await readFile(overlayOf(path, variant) ?? path) };
  }));
}

/** What Flyway is configured by for a database: the bytes of `db/{database}/flyway.toml`. */
export function configurationOf(database, variant) {
  const path = join(ROOT, 'db', database, 'flyway.toml');
  return readFile(overlayOf(path, variant) ?? path);
}

/** The files of a folder and its folders, none where there is no folder. */
async function filesIn(folder) {
  if (!existsSync(folder)) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => relative(folder, join(parentPath, name)));
}

/** Sorts as Flyway does: versions by their numbers, then repeatables by what their names say. */
export function inOrder(files) {
  const parsed = [...files].map((file) => {
    const [, version, repeatable] = /(?:^|\/)(?:V([0-9]+(?:[._][0-9]+)*)|R)__([^/]*)\.sql$/.exec(file) ?? [];
    if (repeatable === undefined) throw new Error(`\`${file}\` is no migration that Flyway runs: name it like \`V1__what_it_does.sql\``);
    return { file, version: version?.split(/[._]/).map(BigInt), repeatable };
  });
  return parsed.sort(before).map(({ file }) => file);
}

function before(one, other) {
  if (!one.version || !other.version) return one.version ? -1 : other.version ? 1 : one.repeatable < other.repeatable ? -1 : 1;
  for (let at = 0; at < Math.max(one.version.length, other.version.length); at += 1) {
    const [a, b] = [one.version[at] ?? 0n, other.version[at] ?? 0n];
    if (a !== b) return a < b ? -1 : 1;
  }
  throw new Error(`\`${one.file}\` and \`${other.file}\` have the same version`);
}
