"""What the doctor found. Secrets are shown as fingerprints only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from adapters.cli.printing import print_json, print_table
from adapters.cli.program import Finding


def report(findings: Sequence[Finding], *, as_json: bool) -> bool:
    """Print what was found; whether all of it is well."""
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = (("ok" if finding.ok else "NOT OK", finding.what, finding.says) for finding in findings)
        print_table(("", "what", "finding"), rows)
    return all(finding.ok for finding in findings)
