"""Cases: a person's request from receipt to delivered answer.

In: what the privacy team does (`submit`, `verify`, `approve`, `deliver`), batches of steps. Out:
moves of jobs, findings. `course` says what follows what; each other module performs one action or
carries out one decision of a person.
"""
