#!/bin/sh
# Runs the tests about groups, transactions, offsets, deletion, dead letters and races on several versions of Apache Kafka,
# one after another; those of them that need no Kafka are left out:
#     sh tools/compatibility.sh 3.9.2 4.1.1
# TESTS names other tests, as a shorter set.
# What it found stands in docs/compatibility.md.
set -u
cd "$(dirname "$0")/.."
TESTS=${TESTS:-tests/adapters tests/contracts tests/pipeline/test_dead_letters.py tests/pipeline/test_topic_made_again.py \
  tests/workers/test_jobs_on_kafka.py tests/chaos/test_races_on_kafka.py}
code=0
for version in "$@"; do
  echo "== Apache Kafka $version"
  # shellcheck disable=SC2086 # TESTS are several words
  KAFKA_VERSION=$version REQUIRE_BROKER=apache .venv/bin/pytest -q -n 2 --dist worksteal -m "kafka or apache" $TESTS || code=1
done
exit "$code"
