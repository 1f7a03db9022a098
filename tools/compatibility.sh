#!/bin/sh
# Runs the tests about groups, transactions, offsets and deletion on several versions of Apache Kafka, one after another:
#     sh tools/compatibility.sh 3.9.2 4.1.1
# What it found stands in docs/compatibility.md.
set -u
cd "$(dirname "$0")/.."
code=0
for version in "$@"; do
  echo "== Apache Kafka $version"
  KAFKA_VERSION=$version REQUIRE_BROKER=apache .venv/bin/pytest -q -n 2 --dist worksteal \
    tests/adapters tests/pipeline tests/workers/test_jobs_on_kafka.py tests/chaos/test_races_on_kafka.py || code=1
done
exit "$code"
