"""The chart, its alerts and dashboards, the image and the compose file, without a cluster and without an engine."""
