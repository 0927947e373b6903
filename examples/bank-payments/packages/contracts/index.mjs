import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';

/**
 * A contract by its name, `payment-request` of `schemas/payment-request.json`: a JSON Schema with examples.
 *
 * @param {string} name
 * @returns {{$id: string, examples: unknown[]}}
 */
export function contract(name) {
  return JSON.parse(readFileSync(new URL(`schemas/${name}.json`, import.meta.url), 'utf8'));
}

/**
 * What a value breaks of a contract, in words; nothing when it keeps it.
 *
 * @param {string} name
 * @param {unknown} value
 * @returns {string[]}
 */
export function violations(name, value) {
  const ajv = new Ajv2020({ allErrors: true, strict: true });
  const keeps = ajv.compile(contract(name));
  return keeps(value) ? [] : (keeps.errors ?? []).map(({ instancePath, message }) => `${instancePath || '/'} ${message}`);
}
