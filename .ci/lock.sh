#!/usr/bin/env bash
# Writes lock/*.txt: every dependency with its hashes, for Python 3.10 and newer on every platform.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${UV:-.venv/bin/uv}"
compile() {
  local name="$1"
  shift
  "$uv" pip compile pyproject.toml --universal --python-version 3.10 --generate-hashes --no-header --no-annotate --quiet \
    --no-emit-index-url --no-emit-find-links "$@" --output-file "lock/$name.txt"
}
compile gate
compile stats --extra stats --extra sign
compile local --extra local --extra sign
compile azure --extra azure --extra sign
compile dev --extra dev
