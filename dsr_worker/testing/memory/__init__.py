"""A connector over rows in memory, and the store that holds them.

Why: the engine's tests, drills and benchmarks want a system without a server, that can be told to
fail. In: a data map and a `MemoryConfig`. Out: every protocol of the contract, decided row by row.
"""

from dsr_worker.testing.memory.connector import Fault, Memory, MemoryConfig, store
from dsr_worker.testing.memory.rows import Store

__all__ = ["Fault", "Memory", "MemoryConfig", "Store", "store"]
