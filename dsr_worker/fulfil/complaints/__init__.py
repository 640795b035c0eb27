"""Complaints as jobs: taken in, worked on by people, told, closed. Nothing of one is automatic.

But for one thing: an open dispute places a hold by itself. Complaints have no steps; their clocks
are warned of and missed by the same tick as all others.
"""

from dsr_worker.fulfil.complaints.desk import ComplaintDesk
from dsr_worker.fulfil.complaints.disputes import Disputes
from dsr_worker.fulfil.complaints.filing import Filed, Filing, Filings

__all__ = ["ComplaintDesk", "Disputes", "Filed", "Filing", "Filings"]
