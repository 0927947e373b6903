#!/usr/bin/env bash
# Node.js 22.23.3 (its binary from the npm package "node"): the built-in test runner ends with
# exit code 0 although the "after" hook of a suite threw.
#
# Expected: the page "Test runner" of the Node.js documentation says that a test file whose
# process ends with exit code 0 is considered passing, and otherwise failing. A run that prints
# "not ok" would be expected to end with exit code 1, and the runners of Node.js 20.20.2 and of
# 26.10.0 do so.
#
# Seen: version 22.23.3 prints "not ok 1 - suite" with failureType 'hookFailed', then "# fail 0",
# and ends with exit code 0. The built-in JUnit reporter names no failure either: its file is that
# of a clean run.
#
# Whom it hurts: suites whose clean-up does checks of its own (open handles, rows left behind,
# containers that did not stop). They fail on the screen and pass in CI, from the day on which
# Node.js 20 is replaced by 22.
# What to do: make such checks in a last test rather than in a hook, or also fail the job when the
# TAP reporter's output has a line that starts with "not ok".
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >suite.test.mjs <<'JS'
import { after, describe, it } from 'node:test';

describe('suite', () => {
  after(() => {
    throw new Error('clean-up failed');
  });
  it('works', () => {});
});
JS

codes=
for version in 20.20.2 22.23.3 26.10.0; do
    mkdir "node-$version"
    (cd "node-$version" && npm init -y >/dev/null &&
        npm install --silent --no-audit --no-fund --save-exact "node@$version")
    node="$work/node-$version/node_modules/node/bin/node"
    code=0
    "$node" --test --test-reporter tap suite.test.mjs >"$version.tap" || code=$?
    "$node" --test --test-reporter junit suite.test.mjs >"$version.xml" || true
    echo "Node.js $("$node" --version): exit code $code"
    grep -E '^not ok|failureType|^# (pass|fail) ' "$version.tap" || true
    codes="$codes $version=$code"
done

echo "expected: exit code 1 of each"
echo "seen:    $codes"
if [ "$codes" != " 20.20.2=1 22.23.3=0 26.10.0=1" ]; then
    echo "The exit codes have changed." >&2
    exit 1
fi
grep -q '^not ok 1 - suite' 22.23.3.tap || { echo "The suite is no longer not ok." >&2; exit 1; }
grep -q '^# fail 0$' 22.23.3.tap || { echo "The failure is now counted." >&2; exit 1; }
if grep -qE '<failure|failures="[1-9]' 22.23.3.xml; then
    echo "The JUnit file now has the failure." >&2
    exit 1
fi
echo "As described: a failed hook, exit code 0, and a clean JUnit file."
