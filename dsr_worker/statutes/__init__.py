"""Law packs: what the law says about requests, complaints, breaches and retention, as data.

Why this room exists: deadlines must be something a lawyer can check and a machine can replay.
Each regime is one dated, cited YAML file in a folder per region; every row carries its citation,
how sure we are of it (`standing`) and the day of the check. Names (of a law, a country, a right,
a retention rule) and instants enter; rules, clocks and duties leave. Files are read here; the
arithmetic is `dsr_worker.domain`.
"""

from dsr_worker.statutes.breach import Market, breach_duties, market
from dsr_worker.statutes.choosing import Beside, Choice, chosen, chosen_beside, unsupported
from dsr_worker.statutes.load import (
    PackError,
    load_pack,
    pack_text_and_hash,
    packs,
    packs_saying,
    read_pack,
)
from dsr_worker.statutes.model import LawPack, Right, Standing
from dsr_worker.statutes.names import UnknownNameError
from dsr_worker.statutes.places import (
    Locality,
    applicable,
    canonical_country,
    country_of,
    hinted,
    laws_of,
    locality,
)
from dsr_worker.statutes.recurring import recurring
from dsr_worker.statutes.request import (
    ClockKind,
    ClockSpec,
    appeal_clock,
    appeal_until,
    complaint_clocks,
    request_clocks,
    rights_row,
)
from dsr_worker.statutes.retention import (
    RetentionLimit,
    retention_maximum,
    retention_minimum,
    retention_rules,
)

__all__ = [
    "Beside",
    "Choice",
    "ClockKind",
    "ClockSpec",
    "LawPack",
    "Locality",
    "Market",
    "PackError",
    "RetentionLimit",
    "Right",
    "Standing",
    "UnknownNameError",
    "appeal_clock",
    "appeal_until",
    "applicable",
    "breach_duties",
    "canonical_country",
    "chosen",
    "chosen_beside",
    "complaint_clocks",
    "country_of",
    "hinted",
    "laws_of",
    "load_pack",
    "locality",
    "market",
    "pack_text_and_hash",
    "packs",
    "packs_saying",
    "read_pack",
    "recurring",
    "request_clocks",
    "retention_maximum",
    "retention_minimum",
    "retention_rules",
    "rights_row",
    "unsupported",
]
