"""What workers and operations ask of the outside: Kafka, state, HTTP, clock, meters.

`streams.adapters` implements the ports, `streams.testing` ships fakes.
"""
