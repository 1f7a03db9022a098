"""Jobs of the keeper: replays and purges that a person ordered."""
