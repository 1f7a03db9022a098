"""The loop of an inlet from a bucket: list, read, write, remember."""
