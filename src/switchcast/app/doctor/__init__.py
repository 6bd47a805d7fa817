"""Gathers what the doctor looks at, and sends its probes."""
