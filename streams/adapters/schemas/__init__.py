"""Where writers' schemas come from beside `avro/`."""
