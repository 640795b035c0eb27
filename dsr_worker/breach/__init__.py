"""Breaches: from the declaration to the notices, with every duty on a clock from the first second.

In: what leaked, since when it is known, in which markets. Out: duties with due instants in the
declaring transaction, then the people affected, drafts of the notices, and, once a second person
has approved them, one notice to each of a frozen list.

`leak` holds the facts, `declaring` takes them in, `duties` turns them into clocks, `assessing` and
`people` find out who is affected, `drafts` writes, `sending` sends, `course` says what follows
what, `desk` is what people do.
"""

from dsr_worker.breach.assessing import Assessing
from dsr_worker.breach.course import BreachCourse
from dsr_worker.breach.declaring import BreachRefused, Declared, Declaring
from dsr_worker.breach.desk import BreachDesk, Proposal
from dsr_worker.breach.leak import Leak
from dsr_worker.breach.sending import Sending

__all__ = [
    "Assessing",
    "BreachCourse",
    "BreachDesk",
    "BreachRefused",
    "Declared",
    "Declaring",
    "Leak",
    "Proposal",
    "Sending",
]
