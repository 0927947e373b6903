#!/usr/bin/env bash
# Squawk 2.70.0 (PyPI squawk-cli) tells none of its rules of a migration in which one of Flyway's
# placeholders stands.
#
# Expected: `${schema}` in one statement, which Flyway replaces before it runs the file, keeps nobody
# from being told that another statement of the file drops a table.
#
# Seen: only `syntax-error`, in every line of the report. With `public` in the placeholder's place the
# same file is warned of as `ban-drop-table`. The exit status is 1 both times.
#
# Whom it hurts: a team whose files are fine for Flyway, and which therefore lets syntax errors pass
# or looks for single rules in the report: of a file with a placeholder it learns nothing.
# What to do: replace placeholders by words before Squawk reads the file.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: squawk-cli==2.70.0

cat > "$folder/V2__old.sql" <<'SQL'
SET LOCAL lock_timeout = 1000;
SET LOCAL statement_timeout = 1000;
ALTER TABLE ${schema}.ledger ADD COLUMN note text;
DROP TABLE accounts;
SQL
sed 's/${schema}/public/' "$folder/V2__old.sql" > "$folder/V3__old.sql"

rules() { # the rules that are told of a file, and the exit status
  local status=0
  "$folder/venv/bin/squawk" --assume-in-transaction --reporter Gcc "$1" > "$folder/report" || status=$?
  echo "$(sed -nE 's/^[^ ]+ (error|warning): ([a-z-]+) .*/\2/p' "$folder/report" | sort -u | tr '\n' ' ')$status"
}
with=$(rules "$folder/V2__old.sql")
without=$(rules "$folder/V3__old.sql")
echo "$("$folder/venv/bin/squawk" --version): with the placeholder: $with; without: $without"
[ "$with" = 'syntax-error 1' ] && [ "$without" = 'ban-drop-table 1' ]
