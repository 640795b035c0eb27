"""What an object's bytes say: told by content, read by record, changed without touching others."""
