"""`streams demo`: the main job on this machine, and its stories."""
