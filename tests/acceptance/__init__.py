"""Acceptance: the invented shop, whose truth is known, through the whole software."""
