import { request as http } from 'node:http';
import { request as https } from 'node:https';

/**
 * Calls a function URL and answers `{status, body}`, the body parsed where it is JSON.
 * With AWS_ENDPOINT_URL set (a local AWS) the request goes there, under the URL's own host name, which no DNS knows.
 *
 * @param {string | URL} url
 * @param {{method?: string, json?: unknown, timeout_ms?: number}} [options]
 * @returns {Promise<{status: number, body: any}>}
 */
export function call(url, { method = 'GET', json, timeout_ms = 10_000 } = {}) {
  const target = new URL(url);
  const reached = process.env.AWS_ENDPOINT_URL ? new URL(process.env.AWS_ENDPOINT_URL) : target;
  const body = json === undefined ? undefined : JSON.stringify(json);
  return new Promise((resolve, reject) => {
    const request = (reached.protocol === 'https:' ? https : http)({
      hostname: reached.hostname,
      port: reached.port,
      path: target.pathname + target.search,
      method,
      headers: { host: target.host, ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }) },
      timeout: timeout_ms,
      agent: false,
    }, (response) => {
      const chunks = /** @type {Buffer[]} */ ([]);
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        let parsed;
        try { parsed = JSON.parse(text); } catch { parsed = text; }
        resolve({ status: response.statusCode ?? 0, body: parsed });
      });
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${timeout_ms} ms`)));
    request.on('error', reject);
    request.end(body);
  });
}
