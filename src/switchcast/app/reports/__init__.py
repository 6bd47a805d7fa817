"""What the audit found, as files: a page for people, SARIF for programs."""
