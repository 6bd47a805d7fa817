"""What events give away: an inventory of what was seen, classed by name and by value. Pure: events in, rows out."""
