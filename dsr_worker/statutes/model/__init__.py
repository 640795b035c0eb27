"""The shape of a law pack: strict rows, each with its citation and its standing.

Why this room exists: a row that a lawyer cannot check or a machine cannot replay is worth nothing,
so unknown keys, missing citations, overlapping rows and impossible periods are refused when a pack
is read. Plain mappings enter; frozen models leave, with the rules of `dsr_worker.domain` made from
them.
"""

from dsr_worker.statutes.model.duties import AuthorityTable, BreachRow, RecurringRow
from dsr_worker.statutes.model.pack import LawPack, PackHead, Scope
from dsr_worker.statutes.model.rights import (
    AppealRow,
    ComplaintRow,
    ExemptionRow,
    RecordsRow,
    Right,
    RightsRow,
)
from dsr_worker.statutes.model.rows import ClockRow, DatedRow, SourcedRow, Standing
from dsr_worker.statutes.model.tables import CountryTable, RetentionRow, RetentionTable

__all__ = [
    "AppealRow",
    "AuthorityTable",
    "BreachRow",
    "ClockRow",
    "ComplaintRow",
    "CountryTable",
    "DatedRow",
    "ExemptionRow",
    "LawPack",
    "PackHead",
    "RecordsRow",
    "RecurringRow",
    "RetentionRow",
    "RetentionTable",
    "Right",
    "RightsRow",
    "Scope",
    "SourcedRow",
    "Standing",
]
