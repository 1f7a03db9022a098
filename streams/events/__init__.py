"""Braze Currents events: the catalogue, schemas, encodings, selection and samples. Pure: no I/O but package files."""
