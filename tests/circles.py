"""A contract for import-linter: no module imports, directly or round about, one that imports it.

``acyclic_siblings`` compares packages with their siblings; a module that imports the package it lies in escapes it.
"""

from __future__ import annotations

from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output


class NoCircles(Contract):
    """Kept while no module is upstream of itself."""

    type_name = "no_circles"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """One circle for each module that is in any."""
        upstream = {module: graph.find_upstream_modules(module) for module in graph.modules}
        pairs = [(module, other) for module in sorted(upstream) for other in sorted(upstream[module]) if other > module]
        found = [(module, other) for module, other in pairs if module in upstream.get(other, ())]
        chains = [(*self._chain(graph, a, b), *self._chain(graph, b, a)[1:]) for a, b in found]
        return ContractCheck(kept=not chains, metadata={"chains": chains})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Each circle on a line."""
        for chain in check.metadata["chains"]:
            output.print_error(" -> ".join(chain), bold=False)

    def _chain(self, graph: ImportGraph, importer: str, imported: str) -> tuple[Any, ...]:
        return graph.find_shortest_chain(importer, imported) or ()
