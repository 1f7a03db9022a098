"""The use cases: functions over ports that return values. The command line calls them."""
