"""What a keeper keeps: states of connectors and scopes, cursors, settled letters, jobs, totals. Decisions only, no I/O."""
