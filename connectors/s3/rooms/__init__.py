"""The rooms of a bucket: one for each collection, all of them asked alike.

Enters: a system of the data map, its config. Leaves: a `Room` per collection, whatever its layout.
"""
