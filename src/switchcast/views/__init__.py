"""Pictures of the cluster: each a reducer, an event and a time in, what changed out."""
