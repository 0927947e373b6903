// Verifies Sigstore bundles with npm's own verifier, `@sigstore/verify`, and a public key: what an outsider would do,
// with nothing of ours in between. No network, no transparency log.
//
// usage: node verify_bundle.mjs KEY.pem BUNDLE.sigstore.json…
// ends:  0 each is signed by that key; 1 one isn't, or is no bundle; 2 wrong use, or no key

import { createHash, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../.local/provenance/package.json", import.meta.url));
const { bundleFromJSON } = require("@sigstore/bundle");
const { Verifier, toSignedEntity } = require("@sigstore/verify");

const [keyFile, ...bundles] = process.argv.slice(2);
if (bundles.length === 0) {
  console.error("usage: verify_bundle.mjs KEY.pem BUNDLE.sigstore.json…");
  process.exit(2);
}

const readKey = () => {
  try {
    return createPublicKey(readFileSync(keyFile));
  } catch (error) {
    console.error(`error: \`${keyFile}\` is no public key: ${error.message}`);
    process.exit(2);
  }
};

const publicKey = readKey();
const hint = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");

// Such a key says nothing of when it was good, and there is no log to ask.
const keys = (wanted) => {
  if (wanted !== hint) throw new Error(`the bundle names the key \`${wanted}\`, this one is \`${hint}\``);
  return { publicKey, validFor: () => true };
};
const verifier = new Verifier(
  { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [], publicKey: keys },
  { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 0 },
);

const verify = (file) => {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(file, "utf8")));
  verifier.verify(toSignedEntity(bundle));
  const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString("utf8"));
  return `${statement.predicateType}, subjects: ${statement.subject.length}`;
};

for (const file of bundles) {
  try {
    console.log(`holds: \`${file}\`: ${verify(file)}`);
  } catch (error) {
    console.error(`fails: \`${file}\`: ${error.message}${error.cause ? `: ${error.cause.message}` : ""}`);
    process.exitCode = 1;
  }
}
