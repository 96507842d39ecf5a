#!/usr/bin/env bash
# A headless Chromium and a font for the tests of pages, where there is none: Debian's own packages, which need root.
set -euo pipefail
for name in chromium-headless-shell chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "no Chromium here: the tests of pages are skipped (Debian: apt-get install chromium-headless-shell)" >&2
  exit 0
fi
echo "setting up a headless Chromium"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium-headless-shell fonts-dejavu-core >/dev/null
