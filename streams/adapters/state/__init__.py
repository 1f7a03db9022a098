"""The state topic and the accounts, read from Kafka."""
