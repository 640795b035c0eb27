"""Ready-made retention policies by country and trade: YAML data only, no code.

A policy binds to collections by their class. What the law asks for names a row of the statutes;
what this house has decided says `house rule` and may be changed freely. Copy a file into the
`policies` folder of your configuration and have it reviewed there.
"""
