"""HTTP pages that processes of ours serve: health and metrics."""
