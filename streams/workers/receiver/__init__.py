"""The receiver of the way back: what vendors send is written to Kafka before it is answered."""
