"""Rows that change: erased, masked, put right, restricted, swept, and what that leaves behind."""
