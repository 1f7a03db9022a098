"""What an inlet from a bucket knows and decides: layout, schedule, progress. No I/O."""
