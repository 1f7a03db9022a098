"""The vocabulary and the pure decisions of delivery: verdicts, batches, retries, settling, accounts. No I/O."""
