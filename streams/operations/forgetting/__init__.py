"""Forgetting users: the plan of what is known of them, and the order to the keepers."""
