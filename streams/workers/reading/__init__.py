"""What every reader of events needs: where partitions start, which ones wait, schemas, decoded events."""
