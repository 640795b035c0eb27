"""Retention by the bucket's own lifecycle rules, where they are exact.

In: standing orders of the core. Out: a plan with its diff, rules in the bucket, and what a listing
says of them. `compiling` decides, purely; `rules` plans and installs; `verifying` looks again.
"""
