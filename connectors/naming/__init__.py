"""What names and values say of the people behind them, for every connector that proposes a map.

Enters: names of fields and collections, sampled values one at a time. Leaves: words, categories of
Fideslang with a confidence, counts by form. Pure: nothing is read, no value is kept, and no store
is known here. `words` and `hints` know names, `forms` values, `classifying` brings both together.
"""
