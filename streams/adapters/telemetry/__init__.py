"""What is seen of a process: logs, metrics, health, traces."""
