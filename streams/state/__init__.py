"""What a keeper keeps: states, cursors, settled letters, jobs, totals. Decisions only, no I/O."""
