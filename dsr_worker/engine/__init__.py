"""The engine: takes a slot, claims a batch, has it performed, finishes it; ticks for what waits.

In: a doorbell ("there is work for system X"). Out: finished steps in the ledger. It knows the step
protocol and no action: what a step does is a performer (`fulfil`, `sweep`, `breach`), given by
`bootstrap`.
"""
