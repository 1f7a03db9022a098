"""All I/O: Kafka, HTTP, clock, logs. Foreign exceptions stop here."""
