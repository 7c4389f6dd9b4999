"""Everything in this process's memory, under the same rules as the databases: for simulations and quick tests."""

from adapters.persistence.memory.store import MemoryStore, MemoryUnit

__all__ = ["MemoryStore", "MemoryUnit"]
