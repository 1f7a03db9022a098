"""Bodies that vendors post, as records of the way back. Pure; one module a kind."""
