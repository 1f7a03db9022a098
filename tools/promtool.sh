#!/bin/sh
# Prints where promtool is, for the tests that try the alerts on time series. Where it is not installed it is taken out
# of Debian's package `prometheus`, once, into the cache; installing that package would start a server. Prints nothing
# where it cannot be had, and says why on standard error: those tests are skipped then.
set -u

if [ -n "${PROMTOOL:-}" ]; then
  echo "$PROMTOOL"
  exit
fi
if command -v promtool; then
  exit
fi

cache=${STREAMS_CACHE:-$HOME/.cache/currents-streams}/promtool
if [ -x "$cache/promtool" ]; then
  echo "$cache/promtool"
  exit
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
  echo "promtool is not installed, and there is no apt-get to fetch it: no alert is tried on time series" >&2
  exit
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fetch() { timeout 120 apt-get download prometheus || { timeout 120 apt-get update && timeout 120 apt-get download prometheus; }; }
if (cd "$folder" && fetch && dpkg -x prometheus_*.deb .) >"$folder/log" 2>&1; then
  mkdir -p "$cache"
  # Renamed at the end: another run at the same time finds the complete file or none.
  cp "$folder/usr/bin/promtool" "$cache/promtool.$$" && mv "$cache/promtool.$$" "$cache/promtool"
  echo "$cache/promtool"
else
  echo "promtool cannot be had here, no alert is tried on time series: $(tail -n 1 "$folder/log")" >&2
fi
