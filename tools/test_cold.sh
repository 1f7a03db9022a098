#!/bin/sh
# `make test` as on the first day: the last commit in an empty folder, an empty home, an empty cache, no byte code.
# What stands on the way to the first good run is seen here, and nowhere on a machine that has run the tests before.
# Downloads everything again: packages, Kafka, promtool. The folder stays where a run failed.
set -eu
cd "$(dirname "$0")/.."

folder=$(mktemp -d "${TMPDIR:-/tmp}/streams-cold-XXXXXX")
git clone --quiet --no-hardlinks . "$folder/clone"
mkdir "$folder/home" "$folder/cache" "$folder/tmp"
echo "cold run of $(git rev-parse --short HEAD) in $folder"
# Maven and pip keep what they download below the home; what tells them where to download from is kept.
for settings in .m2/settings.xml .config/pip/pip.conf .pip/pip.conf .netrc; do
  if [ -f "$HOME/$settings" ]; then
    mkdir -p "$folder/home/$(dirname "$settings")"
    cp "$HOME/$settings" "$folder/home/$settings"
  fi
done
if env -u PYTHONPYCACHEPREFIX -u PYTHONDONTWRITEBYTECODE -u KAFKA_BOOTSTRAP \
  HOME="$folder/home" XDG_CACHE_HOME="$folder/cache" STREAMS_CACHE="$folder/cache/streams" \
  PIP_CACHE_DIR="$folder/cache/pip" TMPDIR="$folder/tmp" MAKEFLAGS= \
  make -C "$folder/clone" test ${PYTHON:+PYTHON="$PYTHON"}; then
  rm -rf "$folder"
else
  code=$?
  echo "the cold run failed; it stays in $folder" >&2
  exit "$code"
fi
