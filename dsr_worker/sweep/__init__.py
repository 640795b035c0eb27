"""Retention sweeps: what was kept for longer than a policy allows goes, on schedule or by hand.

In: policies with limits, people's decisions, the tick. Out: sweeps as jobs: counted first, approved
by the hash of what was counted, carried out under a brake, counted again, certified. `scope` says
what one policy reaches, `proposal` what is laid before a person, `course` what follows what.
"""
