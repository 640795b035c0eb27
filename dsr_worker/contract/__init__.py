"""All that a connector author imports: values, protocols, errors.

A connector speaks to one kind of system (Postgres, S3, a helpdesk). The core hands it subjects, a
`Context` and decision tables; it hands back records, links, keys and receipts. It never sees the
ledger, the queue, or another system. Nothing here imports anything of ours.

The smallest connector has a `Config`, `check` and `find`. Further protocols declare what else it
can do, and the core asks by `isinstance`: `FindsBlocks`, `Contacts`, `Resolves`, `Erases`,
`Rectifies`, `Restricts`, `Mentions`, `Residences`, `Sweeps`, `StandingRules`, `Affected`, `Grants`,
`Proposes`, `InUnits`, `InOnePass`.
Everything is a stream: a connector holds no result in memory that grows with the data.

Errors state their consequence::

    ConnectorError
      Transient       the engine tries again later (`retry_after_s`)
      Permanent       this step has failed; the rest of the job goes on, and the answer says so
      NeedsHuman      the step stops for a person; its clocks go on
      Configuration   the system refuses to start, or stops
    LeaseLost         raised by `Context.check` and `Guard`: stop at once, change nothing more
"""

from dsr_worker.contract.capabilities import (
    Affected,
    Connector,
    Contacts,
    Erases,
    FindsBlocks,
    Grants,
    Mentions,
    Proposes,
    Rechecks,
    Rectifies,
    Residences,
    Resolves,
    Restricts,
    StandingRules,
    Sweeps,
)
from dsr_worker.contract.context import Context, Guard, State
from dsr_worker.contract.decisions import (
    Action,
    Always,
    Before,
    DecisionTable,
    Frozen,
    HeldPeople,
    HeldRows,
    HeldSubjects,
    NeededByKept,
    Predicate,
    Rule,
    Since,
    SweepOrder,
)
from dsr_worker.contract.errors import (
    Configuration,
    ConnectorError,
    LeaseLost,
    NeedsHuman,
    Permanent,
    Transient,
)
from dsr_worker.contract.findings import (
    Evidence,
    Finding,
    Ground,
    LeftOut,
    Proposal,
    Role,
    Severity,
)
from dsr_worker.contract.leaks import AffectedPerson, LeakScope, Unseen
from dsr_worker.contract.mapping import (
    Collection,
    Field,
    Form,
    Parent,
    Restriction,
    RestrictionKind,
    System,
    Taken,
)
from dsr_worker.contract.masks import Mask, MaskKind
from dsr_worker.contract.people import NOTHING, Correction, Identity, Subject
from dsr_worker.contract.receipts import (
    OWNER_CHANGED,
    STATED_OTHERWISE,
    Key,
    Outcome,
    OutcomeCount,
    Proof,
    Receipt,
    Remainder,
    is_remainder,
)
from dsr_worker.contract.records import (
    Attachment,
    ContactPoint,
    Link,
    Mention,
    Record,
    RecordBlock,
    Residence,
    Withheld,
    body_of,
    content_of,
    key_within,
)
from dsr_worker.contract.standing import (
    Change,
    RuleDiff,
    StandingCheck,
    StandingOrder,
    StandingPlan,
    StandingWay,
)
from dsr_worker.contract.units import READS, Ask, Call, ChangesInUnits, InOnePass, InUnits, Unit

__all__ = [
    "NOTHING",
    "OWNER_CHANGED",
    "READS",
    "STATED_OTHERWISE",
    "Action",
    "Affected",
    "AffectedPerson",
    "Always",
    "Ask",
    "Attachment",
    "Before",
    "Call",
    "Change",
    "ChangesInUnits",
    "Collection",
    "Configuration",
    "Connector",
    "ConnectorError",
    "ContactPoint",
    "Contacts",
    "Context",
    "Correction",
    "DecisionTable",
    "Erases",
    "Evidence",
    "Field",
    "Finding",
    "FindsBlocks",
    "Form",
    "Frozen",
    "Grants",
    "Ground",
    "Guard",
    "HeldPeople",
    "HeldRows",
    "HeldSubjects",
    "Identity",
    "InOnePass",
    "InUnits",
    "Key",
    "LeakScope",
    "LeaseLost",
    "LeftOut",
    "Link",
    "Mask",
    "MaskKind",
    "Mention",
    "Mentions",
    "NeededByKept",
    "NeedsHuman",
    "Outcome",
    "OutcomeCount",
    "Parent",
    "Permanent",
    "Predicate",
    "Proof",
    "Proposal",
    "Proposes",
    "Receipt",
    "Rechecks",
    "Record",
    "RecordBlock",
    "Rectifies",
    "Remainder",
    "Residence",
    "Residences",
    "Resolves",
    "Restriction",
    "RestrictionKind",
    "Restricts",
    "Role",
    "Rule",
    "RuleDiff",
    "Severity",
    "Since",
    "StandingCheck",
    "StandingOrder",
    "StandingPlan",
    "StandingRules",
    "StandingWay",
    "State",
    "Subject",
    "SweepOrder",
    "Sweeps",
    "System",
    "Taken",
    "Transient",
    "Unit",
    "Unseen",
    "Withheld",
    "body_of",
    "content_of",
    "is_remainder",
    "key_within",
]
