"""Why events do not arrive: checks over facts of a host and of its network. Pure: facts in, findings out."""
