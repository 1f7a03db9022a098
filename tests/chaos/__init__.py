"""Chaos: real processes on Apache Kafka, killed at random with a printed seed; afterwards everything must add up."""
