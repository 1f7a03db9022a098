"""The loops: router and sink. They see ports, never adapters."""
