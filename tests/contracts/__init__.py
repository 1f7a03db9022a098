"""What a port promises, asked of its real adapter and of the fake that is shipped for tests: both must keep it."""
