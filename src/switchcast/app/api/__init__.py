"""The node over HTTP: JSON for programs, a live stream for dashboards."""
