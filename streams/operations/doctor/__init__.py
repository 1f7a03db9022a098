"""Is this going to work here? Everything that must work is looked at; nothing is changed."""
