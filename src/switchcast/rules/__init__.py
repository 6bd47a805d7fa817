"""Rules: events become actions on this host.

``settings`` is the table, ``template`` puts an event's values into an action, ``engine`` decides what fires (pure: an
event and a time in, firings and refusals out), ``journal`` remembers what must not be lost, ``runner`` acts.
"""
