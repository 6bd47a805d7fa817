"""The history of what was heard: kept on disk, searched, and told as the story of a call."""
