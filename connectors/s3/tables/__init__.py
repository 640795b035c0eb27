"""Tables of many files with a log beside them: recognised, and changed by their own libraries."""
