import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { MODULES, synthesise } from '../infra/app.mjs';
import { bundle } from './bundle.mjs';
import { write } from './manifest.mjs';
import { configurationOf, migrationsOf } from './migrations.mjs';
import { ROOT } from './overlay.mjs';

/** Writes every ZIP, template and migration below `out/modules`, in the layout of the artefact store, and answers the manifest's modules. */
export async function artefacts(out, variant) {
  const moduleOf = (name) => MODULES.find(({ functions }) => name in functions).id;
  const zipOf = (name) => join(out, 'modules', moduleOf(name), 'functions', `${name}.zip`);
  const names = MODULES.flatMap(({ functions }) => Object.keys(functions));
  const zips = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await write(zipOf(name), await bundle(name, variant))])));
  const stacks = await withFolder((folder) => synthesise(folder, zipOf));
  const store = async (id, { database, file, bytes }) => (
    { database, file, ...(await write(join(out, 'modules', id, 'schema', database, 'migrations', file), bytes)) }
  );
  await Promise.all(MODULES.filter(({ database }) => database).map(async ({ id, database }) => (
    write(join(out, 'modules', id, 'schema', database, 'flyway.toml'), await configurationOf(database, variant))
  )));
  return Promise.all(MODULES.map(async ({ id, stack, functions, database }) => ({
    id,
    functions: Object.entries(functions).map(([name, construct]) => ({ name, ...zips[name], stack, logical_id: stacks[stack].logicalId(construct) })),
    stacks: [{ name: stack, ...(await write(join(out, 'modules', id, 'cloudformation', `${stack}.json`), stacks[stack].template)) }],
    ...(database && { migrations: await Promise.all((await migrationsOf(database, variant)).map((of) => store(id, of))) }),
  })));
}

/** A folder for something that is gone afterwards. */
export async function withFolder(use) {
  const folder = await mkdir(join(ROOT, 'dist'), { recursive: true }).then(() => mkdtemp(join(ROOT, 'dist', 'build-')));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
