"""What a sink does more for a destination that composes: order, what is remembered, remarks."""
