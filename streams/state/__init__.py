"""The state that a keeper writes: states, cursors, settled letters, jobs, totals. Decisions only, no I/O."""
