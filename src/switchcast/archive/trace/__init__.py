"""A call's whole story, told from events: its legs on every node, what was done with them, and what is missing."""
