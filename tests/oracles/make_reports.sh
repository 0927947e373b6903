#!/usr/bin/env bash
# Makes the fixtures of shared/readers/tests/reports anew, each with the real tool in the version that stands here.
#
# It needs npm, Python with venv, Go, and Debian's apt-get and a C++ compiler for Catch2 and doctest; everything is put
# into a temporary folder. Hosts, folders and dates are replaced. Made by hand from what the tools wrote are only
# surefire-*.xml (Maven with Surefire 3.6.0, rerunFailingTestsCount=1) and nextest-*.xml.
set -euo pipefail
out=$(cd "$(dirname "$0")/../../shared/readers/tests/reports" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A folder for the npm packages that follow it.
npm_in() {
  mkdir -p "$work/$1" && cd "$work/$1" && echo '{"private":true}' > package.json
  npm install --silent --no-audit --no-fund "${@:2}"
}

# Keeps a file as a fixture, without what differs from one machine and run to another.
keep() {
  sed -E -e "s#$work/[a-z0-9-]+#/repo#g; s#$work#/repo#g; s/hostname=\"[^\"]*(desktop|mobile|tbd)\"/hostname=\"\1\"/; /hostname=\"(desktop|mobile|tbd)\"/!s/hostname=\"[^\"]*\"/hostname=\"ci\"/" \
    -e 's/20[0-9]{2}-[0-9]{2}-[0-9]{2}T/2026-11-29T/g; s/("start(Time|edAt|At)"|"endTime"):[0-9.]+/\1:1795988948309/g' "$1" > "$out/$2"
}

node_runner() {
  for version in 20.19.5 22.20.0 24.11.0; do
    npm_in "node-$version" "node@$version"
    cat > all.test.mjs <<'JS'
import test, { describe, it } from 'node:test';
test('passes', () => {});
test('skips', { skip: true }, () => {});
test('todo', { todo: true });
test('todo fails', { todo: 'later' }, () => { throw new Error('x'); });
describe('d', () => { it('a', () => {}); it.skip('b', () => {}); it.todo('c'); });
describe('empty', () => {});
test('says', t => { t.diagnostic('fail 7'); });
JS
    cat > parent.test.mjs <<'JS'
import test from 'node:test';
test('parent fails after its subtest passed', async t => { await t.test('sub', () => {}); throw new Error('x'); });
JS
    cat > plan.test.mjs <<'JS'
import test from 'node:test';
test('plan', async t => { t.plan(2); await t.test('sub', () => {}); });
JS
    : > empty.test.mjs
    for name in all parent plan empty; do
      node_modules/.bin/node --test --test-reporter=junit "$name.test.mjs" > "$name.xml" || true
      keep "$name.xml" "node-${version%%.*}-$name.xml"
    done
  done
}

jest() {
  npm_in jest jest@30.2.0 jest-junit@17.0.0
  cat > all.test.js <<'JS'
let runs = 0;
jest.retryTimes(2);
test('flaky', () => { if (runs++ < 1) throw new Error('first'); });
test.failing('known bug', () => { throw new Error('x'); });
test.todo('later');
test.skip('skipped', () => {});
test('ok', () => {});
test('lone \ud83d', () => {});
JS
  echo "test('fails', () => { throw new Error('x'); }); afterAll(() => { throw new Error('hook'); });" > hook.test.js
  echo "afterAll(() => { throw new Error('hook'); }); test('x', () => {});" > after.test.js
  echo "require('./missing'); test('x', () => {});" > import.test.js
  for name in all hook after import; do
    JEST_JUNIT_OUTPUT_NAME="$name.xml" npx jest "$name.test.js" --json --outputFile="$name.json" \
      --reporters=default --reporters=jest-junit > /dev/null 2>&1 || true
    keep "$name.json" "jest-30-$name.json"
    keep "$name.xml" "jest-junit-17-$name.xml"
  done
}

vitest() {
  for version in 3.2.4 4.0.8; do
    npm_in "vitest-$version" "vitest@$version"
    cat > all.test.mjs <<'JS'
import { describe, test } from 'vitest';
let runs = 0;
test('flaky', { retry: 2 }, () => { if (runs++ < 1) throw new Error('first'); });
test.fails('known bug', () => { throw new Error('x'); });
test.todo('later');
test.skip('skipped', () => {});
test('lone \ud83d', () => {});
describe('d', () => { test('in', () => {}); test('skips itself', ({ skip }) => skip()); });
JS
    echo "import { test } from 'vitest';
test('one', () => { throw new Error('x'); }); test('two', () => {}); test('three', () => {});" > bail.test.mjs
    for name in all bail; do
      npx vitest run "$name.test.mjs" --bail=1 --reporter=json --reporter=junit \
        --outputFile.json="$name.json" --outputFile.junit="$name.xml" > /dev/null 2>&1 || true
      keep "$name.json" "vitest-${version%%.*}-$name.json"
      keep "$name.xml" "vitest-${version%%.*}-$name.xml"
    done
  done
}

mocha() {
  npm_in mocha mocha@11.7.4 mocha-junit-reporter@2.2.1
  echo "describe('outer', () => { it('pass', () => {}); it.skip('s1', () => {}); it('pending'); });" > pending.cjs
  echo "describe('outer', () => { before(() => { throw new Error('b'); }); it('a', () => {}); it('b', () => {}); });" > before.cjs
  echo "describe('outer', () => { after(() => { throw new Error('a'); }); it('a', () => {}); it.skip('s', () => {}); });" > after.cjs
  for name in pending before after; do
    npx mocha "$name.cjs" --reporter mocha-junit-reporter --reporter-options "mochaFile=$name.xml" > /dev/null || true
    keep "$name.xml" "mocha-junit-$name.xml"
    npx mocha "$name.cjs" --reporter xunit --reporter-options "output=$name.xunit.xml" > /dev/null || true
    keep "$name.xunit.xml" "mocha-xunit-$name.xml"
  done
}

playwright() {
  PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm_in playwright @playwright/test@1.65.1
  cat > all.spec.cjs <<'JS'
const { test } = require('@playwright/test');
test('pays', () => {});
test('flaky', ({}, info) => { if (info.retry < 1) throw new Error('first'); });
test('known bug', () => { test.fail(); throw new Error('x'); });
test('unexpected pass', () => { test.fail(); });
test.skip('skipped', () => {});
test.fixme('to be mended', () => {});
test.describe.serial('serial', () => { test('first', () => { throw new Error('x'); }); test('never ran', () => {}); });
JS
  for retries in false true; do
    echo "module.exports = { testDir: '.', retries: 1, projects: [{ name: 'desktop' }],
      reporter: [['junit', { outputFile: 'all.xml', includeRetries: $retries }]] };" > playwright.config.cjs
    npx playwright test > /dev/null || true
    keep all.xml "playwright-retries-$retries.xml"
  done
}

newman() {
  npm_in newman newman@6.2.2
  cat > collection.json <<'JSON'
{"info": {"name": "payments", "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
 "item": [
  {"name": "health", "request": {"method": "GET", "url": "http://127.0.0.1:{{port}}/"},
   "event": [{"listen": "test", "script": {"exec": ["pm.test('status', () => {}); pm.test('answers', () => {});"]}}]},
  {"name": "no tests", "request": {"method": "GET", "url": "http://127.0.0.1:{{port}}/"}}]}
JSON
  node -e "const s = require('http').createServer((q, a) => a.end()).listen(0, '127.0.0.1', () => {
    require('child_process').execFile('npx', ['newman', 'run', 'collection.json', '-n', '3', '-r', 'junit',
      '--env-var', 'port=' + s.address().port, '--reporter-junit-export', 'all.xml'], () => s.close()); });"
  keep all.xml newman-6-iterations.xml
}

python() {
  python3 -m venv "$work/python" && cd "$work/python"
  bin/pip install --quiet pytest==9.2.0 pytest-rerunfailures==16.7 unittest-xml-reporting==4.0.0 behave==1.3.3
  cat > test_all.py <<'PY'
import unittest
import pytest
runs = {"flaky": 0}
def test_passes(): pass
def test_flaky():
    runs["flaky"] += 1
    assert runs["flaky"] > 2
@pytest.mark.xfail
def test_xfail(): assert 0
@pytest.mark.xfail
def test_xpass(): pass
@pytest.mark.skip
def test_skip(): pass
def test_subtests(subtests):
    for i in range(9):
        with subtests.test(i=i): pass
class T(unittest.TestCase):
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    def test_ok(self): pass
PY
  bin/pytest -q test_all.py --reruns 3 --junitxml=rerun.xml > /dev/null || true
  bin/pytest -q test_all.py --reruns 1 --junitxml=rerun-fails.xml > /dev/null || true
  bin/pytest -q test_all.py -k "passes or subtests" --junitxml=subtests.xml > /dev/null || true
  for name in rerun rerun-fails subtests; do keep "$name.xml" "pytest-9-$name.xml"; done
  bin/python -m xmlrunner test_all.T -o xmlrunner > /dev/null 2>&1 || true
  keep xmlrunner/*.xml unittest-xml-reporting-4.xml
}

gotestsum() {
  mkdir -p "$work/go/flaky" && cd "$work/go" && echo 'module example.com/m' > go.mod
  cat > flaky/a_test.go <<'GO'
package flaky

import (
	"os"
	"testing"
)

func TestFlaky(t *testing.T) {
	file := os.Getenv("ONCE")
	if _, err := os.Stat(file); err != nil {
		os.WriteFile(file, nil, 0o600)
		t.Error("first")
	}
}
func TestPass(t *testing.T) {}
func TestSkip(t *testing.T) { t.Skip("no") }
GO
  GOBIN="$work/bin" go install gotest.tools/gotestsum@v1.13.0
  ONCE="$work/once-1" "$work/bin/gotestsum" --rerun-fails --packages ./... --junitfile rerun.xml > /dev/null
  ONCE="$work/once-2" "$work/bin/gotestsum" --junitfile count.xml -- -count=2 ./... > /dev/null || true
  keep rerun.xml gotestsum-1.13-rerun.xml
  keep count.xml gotestsum-1.13-count.xml
}

cpp() {
  mkdir -p "$work/cpp" && cd "$work/cpp"
  apt-get download -q catch2=2.13.10-1 doctest-dev=2.4.9~ds-1 > /dev/null
  for package in *.deb; do dpkg -x "$package" .; done
  echo '#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
TEST_CASE("limits") { CHECK(1 == 1); CHECK(2 == 2); SECTION("daily") { CHECK(1 == 1); } }
TEST_CASE("known", "[!mayfail]") { CHECK(1 == 2); }' > catch2.cpp
  echo '#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
TEST_CASE("limits") { CHECK(1 == 1); CHECK(2 == 2); SUBCASE("daily") { CHECK(1 == 1); } }
TEST_CASE("checks nothing") {}' > doctest.cpp
  for name in catch2 doctest; do g++ -O0 -Iusr/include "$name.cpp" -o "$name"; done
  ./catch2 -r junit > catch2.xml || true
  ./doctest -r=junit > doctest.xml || true
  keep catch2.xml catch2-2.xml
  keep doctest.xml doctest-2.xml
}

bun() {
  npm_in bun bun@1.3.2
  echo "import { test } from 'bun:test';
test('ok', () => {}); test.todo('later'); test.skip('skip', () => {});" > all.test.ts
  npx bun test --reporter=junit --reporter-outfile=all.xml > /dev/null 2>&1 || true
  keep all.xml bun-1.xml
}

for tool in "${@:-node_runner jest vitest mocha playwright newman python gotestsum cpp bun}"; do
  for one in $tool; do (cd "$work" && "$one"); done
done
