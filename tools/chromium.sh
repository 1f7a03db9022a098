#!/bin/sh
# Installs Debian's Chromium for the tests of the console's pages, where that can be done: as root, with apt-get.
# Ends with 0 if there is a Chromium then, else with 1 and the reason on standard error.
set -u

if command -v chromium; then
  exit
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "Chromium is not installed, and this is not root with apt-get: tests of the console's pages are skipped" >&2
  exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y --no-install-recommends chromium; }
if { install || { timeout 120 apt-get update && install; }; } >"$log" 2>&1; then
  command -v chromium
else
  echo "Chromium cannot be had here, tests of the console's pages are skipped: $(tail -n 1 "$log")" >&2
  exit 1
fi
