"""Kafka: consumers, transactions, administration, readers without a group. Foreign exceptions stop here."""
