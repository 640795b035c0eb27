"""The access package: a ZIP that opens anywhere and says what it is.

Why: the person gets their data with the information of Art. 15 GDPR, readable and machine-readable,
and can check that nothing was changed. In: case facts, the organisation's texts, the data map, the
spooled records. Out: the ZIP, streamed into any binary file (a sealing writer); later the same ZIP
encrypted for hand-over. Members' names are ours alone; what a person or a system wrote stays data.
"""

from dsr_worker.package.check import verify_package
from dsr_worker.package.contents import (
    CaseFacts,
    Contents,
    MissingText,
    OrganisationTexts,
    PackageRefused,
    Source,
    WithheldPart,
    missing_texts,
)
from dsr_worker.package.handover import HandedOver, Method, hand_over, new_passphrase
from dsr_worker.package.writer import PackageMade, write_package

__all__ = [
    "CaseFacts",
    "Contents",
    "HandedOver",
    "Method",
    "MissingText",
    "OrganisationTexts",
    "PackageMade",
    "PackageRefused",
    "Source",
    "WithheldPart",
    "hand_over",
    "missing_texts",
    "new_passphrase",
    "verify_package",
    "write_package",
]
