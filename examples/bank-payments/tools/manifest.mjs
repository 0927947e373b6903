import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const FORMATS = { '.xml': 'junit', '.json': 'vitest-json', '.txt': 'text' };

/** SHA-256 and size of some bytes, as the manifest names them. */
export function digest(bytes) {
  return { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length };
}

/** Writes a file of a build folder; answers what the manifest says of it. */
export async function write(file, bytes) {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, bytes);
  return digest(bytes);
}

/** The raw reports that lie in a build folder. */
async function reports(out) {
  const files = (await readdir(join(out, 'reports'))).sort();
  return Promise.all(files.map(async (file) => {
    const [suite, extension] = [file.replace(/\.[^.]*$/, ''), file.slice(file.lastIndexOf('.'))];
    const format = suite === 'coverage' ? 'istanbul-summary' : FORMATS[extension];
    if (!format) throw new Error(`\`${file}\` is no report that this build writes`);
    return { suite: suite === 'coverage' ? 'unit' : suite, format, file, ...digest(await readFile(join(out, 'reports', file))) };
  }));
}

/** Writes `build-manifest.json`, schema version 1, from what the build and its tests found. */
export async function writeManifest(out, facts) {
  const manifest = { schema_version: 1, ...facts, timestamp: new Date().toISOString(), reports: await reports(out) };
  await writeFile(join(out, 'build-manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/** Reads a build folder's manifest for this commit, having checked that every artefact still is what it says; none when there is none. */
export async function readManifest(out, repo, commit) {
  const text = await readFile(join(out, 'build-manifest.json'), 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const manifest = JSON.parse(text);
  if (manifest.repo !== repo || manifest.commit_sha !== commit) return undefined;
  for (const { id, functions, stacks, migrations = [], schemas = [] } of manifest.modules) {
    const artefacts = [
      ...functions.map((of) => [of, join('functions', `${of.name}.zip`)]),
      ...stacks.map((of) => [of, join('cloudformation', `${of.name}.json`)]),
      ...migrations.map((of) => [of, join('schema', of.database, 'migrations', of.file)]),
      ...schemas.map((of) => [of, join('schema', `${of.database}-schema.sql`)]),
    ];
    for (const [{ sha256 }, file] of artefacts) {
      const path = join('modules', id, file);
      if (digest(await readFile(join(out, path))).sha256 !== sha256) throw new Error(`\`${path}\` is not the one that was built`);
    }
  }
  return manifest;
}

/** Adds the integration tests' results to a manifest; the deploy succeeded where every function runs the ZIP that was built. */
export function withIntegration(manifest, integration, stage) {
  const live = new Map(integration.deployed.map((of) => [of.function, of.code_sha256]));
  const built = manifest.modules.flatMap(({ functions }) => functions);
  return {
    ...manifest,
    tests: { ...manifest.tests, integration },
    deploy: { stage, succeeded: built.every(({ name, sha256 }) => live.get(name) === sha256) },
  };
}

/** Adds what `flyway validate` said, with where the configuration lies that it used; one that it did not use is no part of the build. */
export async function withFlyway(out, manifest, flyway) {
  const told = Object.entries(flyway).map(async ([database, part]) => {
    const { id } = manifest.modules.find(({ migrations = [] }) => migrations.some((of) => of.database === database));
    const file = join(out, 'modules', id, 'schema', database, 'flyway.toml');
    if (!part.configuration) {
      await rm(file, { force: true });
      return [database, part];
    }
    if (part.configuration.sha256 !== digest(await readFile(file)).sha256) throw new Error(`\`flyway validate\` used another db/${database}/flyway.toml`);
    return [database, { ...part, configuration: { ...part.configuration, modules: [id] } }];
  });
  return { ...manifest, flyway: Object.fromEntries(await Promise.all(told)) };
}

/** Stores a snapshot of the schema that was tested, beside the migrations that made it. */
export async function withSchema(out, manifest, bytes) {
  const of = manifest.modules.find(({ migrations }) => migrations);
  const [{ database }] = of.migrations;
  const schema = { database, ...(await write(join(out, 'modules', of.id, 'schema', `${database}-schema.sql`), bytes)) };
  return { ...manifest, modules: manifest.modules.map((module) => (module === of ? { ...module, schemas: [schema] } : module)) };
}
