/**
 * Calls a function URL and answers `{status, body}`, the body parsed where it is JSON.
 *
 * @param {string | URL} url
 * @param {{method?: string, json?: unknown, timeout_ms?: number}} [options]
 * @returns {Promise<{status: number, body: any}>}
 */
export async function call(url, { method = 'GET', json, timeout_ms = 10_000 } = {}) {
  const response = await fetch(url, {
    method,
    ...(json !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) }),
    signal: AbortSignal.timeout(timeout_ms),
  });
  const text = await response.text();
  try {
    return { status: response.status, body: JSON.parse(text) };
  } catch {
    return { status: response.status, body: text };
  }
}
