"""Where writers' schemas come from, in addition to `avro/`."""
