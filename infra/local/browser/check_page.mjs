// Looks at pages in a real Chromium as people do, and says what is wrong with them:
//   - without JavaScript: the page answers 200, says the same as with it, asks for nothing else (no script, font, picture
//     or style from elsewhere) and logs no error, so no breach of its own Content-Security-Policy either
//   - axe finds nothing wrong, on a wide screen and on a phone's
//   - on a phone (320 CSS pixels) nothing has to be scrolled sideways
//   - everything that takes the focus shows it
//   - it is not larger than 300 kB
// For people it leaves pictures in OUT: NAME-desktop.png, NAME-phone.png, NAME-print.png, and NAME.pdf as a printer gets it.
//
// usage: node check_page.mjs OUT NAME=URL…       URL: http://127.0.0.1:…, http://localhost:…, or file:///…
//        NAME=404:URL expects another status than 200
// ends:  0 nothing is wrong; 1 something is, each on a line; 2 wrong use, or no browser

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const tools = new URL("../../../.local/browser/package.json", import.meta.url);
const require = createRequire(tools);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 320, height: 640 };
const MAX_BYTES = 300_000;
const FLAGS = [
  "--disable-background-networking", "--disable-component-update", "--disable-gpu", "--disable-quic", "--disable-sync",
  "--no-first-run", "--no-proxy-server", "--no-sandbox",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1", // it talks to this machine only
];

/** The pages that the command line names. */
function pages(targets) {
  return targets.map((target) => {
    const [, name, status, url] = /^([\w-]+)=(?:(\d{3}):)?((?:http|file):.*)$/.exec(target) ?? [];
    if (!name) throw new Error(`\`${target}\` is not NAME=URL or NAME=STATUS:URL`);
    return { name, url, status: Number(status ?? 200) };
  });
}

/** What is wrong with a page, each thing once. */
class Wrong {
  found = new Set();
  unless(holds, message) {
    if (!holds) this.found.add(message);
  }
}

/** Loads a page in a context of its own; gives it with its text. */
async function load(browser, { url, status }, wrong, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("request", (request) => {
    const here = request.isNavigationRequest() || request.url().startsWith("data:");
    wrong.unless(here, `it loads \`${request.url()}\`: a page brings everything with it`);
  });
  // That a page answers 404 is logged as an error too, and it is what was asked for.
  page.on("console", (it) => wrong.unless(it.type() !== "error" || it.text().includes(`status of ${status}`), `the console says: ${it.text()}`));
  page.on("pageerror", (error) => wrong.unless(false, `a script failed: ${error.message}`));
  const answer = await page.goto(url, { waitUntil: "load" });
  const answered = url.startsWith("file:") ? 200 : answer.status();
  wrong.unless(answered === status, `it answers ${answered}, not ${status}`);
  return { page, size: (await answer.body()).length, text: (await page.locator("body").innerText()).trim() };
}

/** What axe finds, in one line for each rule and element. */
async function accessibility(page, wrong, where) {
  await page.evaluate(axe); // the page's own policy lets no script in; the driver's are not the page's
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  wrong.unless(passes.length > 0, `axe had nothing to look at ${where}`);
  for (const rule of violations) {
    for (const node of rule.nodes) {
      wrong.unless(false, `axe, ${where}: ${rule.id}: ${rule.help}: ${node.target.join(" ")}: ${node.failureSummary.replaceAll(/\s*\n\s*/g, "; ")}`);
    }
  }
  return passes.length;
}

/** Goes through a page by the tabulator key and asks of each stop whether it can be seen. */
async function focus(page, wrong) {
  const stops = await page.locator("a[href], button, input, select, textarea, summary, [tabindex='0']").count();
  for (let stop = 0; stop < Math.min(stops, 60); stop += 1) {
    await page.keyboard.press("Tab");
    const [name, seen] = await page.evaluate(() => {
      const at = document.activeElement;
      const style = getComputedStyle(at);
      const outlined = style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) > 0;
      return [at.outerHTML.slice(0, 80), at === document.body || outlined || style.boxShadow !== "none"];
    });
    wrong.unless(seen, `the focus can't be seen on \`${name}\``);
  }
  return stops;
}

async function check(browser, out, target) {
  const wrong = new Wrong();
  const picture = (what) => ({ path: join(out, `${target.name}-${what}.png`), fullPage: true });

  const plain = await load(browser, target, wrong, { viewport: DESKTOP, javaScriptEnabled: false });
  wrong.unless(plain.text.length > 0, "there is nothing to read on it");
  wrong.unless(plain.size <= MAX_BYTES, `it has ${plain.size} bytes, more than ${MAX_BYTES}`);
  await plain.page.screenshot(picture("desktop"));
  await plain.page.pdf({ path: join(out, `${target.name}.pdf`), format: "A4" });
  await plain.page.emulateMedia({ media: "print" });
  await plain.page.setViewportSize({ width: 794, height: 1123 }); // A4 at 96 dpi
  await plain.page.screenshot(picture("print"));

  const wide = await load(browser, target, wrong, { viewport: DESKTOP });
  // A page may say when it was made.
  const timeless = (text) => text.replaceAll(/\d{2}:\d{2}:\d{2}/g, "…");
  wrong.unless(timeless(wide.text) === timeless(plain.text), "it reads otherwise with JavaScript than without");
  const rules = await accessibility(wide.page, wrong, "wide");
  const stops = await focus(wide.page, wrong);

  const phone = await load(browser, target, wrong, { viewport: PHONE, deviceScaleFactor: 2 });
  await accessibility(phone.page, wrong, "on a phone");
  await phone.page.screenshot(picture("phone"));
  const width = await phone.page.evaluate(() => document.documentElement.scrollWidth);
  wrong.unless(width <= PHONE.width, `it is ${width} pixels wide on a screen of ${PHONE.width}`);

  for (const { page } of [plain, wide, phone]) await page.context().close();
  for (const message of wrong.found) console.error(`fails: ${target.name}: ${message}`);
  if (wrong.found.size === 0) {
    console.log(`holds: ${target.name}: ${plain.size} bytes, ${rules} rules of axe, ${stops} places for the focus`);
  }
  return wrong.found.size === 0;
}

async function main([out, ...targets]) {
  if (!out || targets.length === 0) throw new Error("usage: check_page.mjs OUT NAME=URL…");
  const wanted = pages(targets);
  mkdirSync(out, { recursive: true });
  const executablePath = fileURLToPath(new URL("../chromium", tools));
  const browser = await chromium.launch({ executablePath, args: FLAGS }); // headless, with a new profile that goes with it
  try {
    console.log(`Chromium ${browser.version()}`);
    let fine = true;
    for (const target of wanted) fine = (await check(browser, out, target)) && fine;
    return fine ? 0 : 1;
  } finally {
    await browser.close();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
}
