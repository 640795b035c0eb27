"""What replaces a value whose row has to stay."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

_NO_MAILBOX = "@erased.invalid"  # RFC 2606, section 2: `.invalid` never resolves


class MaskKind(StrEnum):
    """What replaces a value whose row has to stay."""

    NULL = "null"
    CONSTANT = "constant"
    PSEUDONYM = "pseudonym"  # keyed, stable within one erasure, starts with "erased-"
    TOMBSTONE = "tombstone"  # unique and undeliverable: erased-…@erased.invalid
    YEAR = "year"  # of a date: the first day of its year
    NETWORK = "network"  # of an IP address: its /24, of IPv6 its /48

    @property
    def characters(self) -> int | None:
        """How long what it puts in place is, where that does not depend on the value."""
        pseudonym = len("erased-") + 16
        match self:
            case MaskKind.PSEUDONYM:
                return pseudonym
            case MaskKind.TOMBSTONE:
                return pseudonym + len(_NO_MAILBOX)
            case _:
                return None


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask and, for `constant`, the text it puts in place."""

    kind: MaskKind
    constant: str | None = None

    def holds(self, value: object) -> bool:
        """Whether `value`, read back, is what this mask leaves behind.

        None shows nobody: it needs no mask, and every kind leaves it as it is. Stores that know no
        null have something empty in its place, which is what `null` leaves there.
        """
        if value is None:
            return True
        match self.kind:
            case MaskKind.NULL:
                return value in ("", [], {})
            case MaskKind.CONSTANT:
                return str(value) == self.constant
            case MaskKind.PSEUDONYM:
                return isinstance(value, str) and value.startswith("erased-")
            case MaskKind.TOMBSTONE:
                return isinstance(value, str) and value.endswith(_NO_MAILBOX)
            case MaskKind.YEAR | MaskKind.NETWORK:
                return isinstance(value, str) and value == self.generalised(value)

    def replaced(self, value: str, pseudonym: Callable[[str], str]) -> str | None:
        """What the mask puts in place of a stored value; `pseudonym` makes the value's."""
        match self.kind:
            case MaskKind.NULL:
                return None
            case MaskKind.CONSTANT:
                return self.constant
            case MaskKind.PSEUDONYM:
                return pseudonym(value)
            case MaskKind.TOMBSTONE:
                return pseudonym(value) + _NO_MAILBOX
            case MaskKind.YEAR | MaskKind.NETWORK:
                return self.generalised(value)

    def generalised(self, value: str) -> str | None:
        """What `year` or `network` leaves of a stored text; None where it is no date, no address.

        A moment becomes midnight of January 1st, in the form and with the offset it is written in.
        """
        if self.kind is MaskKind.NETWORK:
            return _network(value)
        written = _MOMENT.fullmatch(value)
        if self.kind is not MaskKind.YEAR or written is None:
            return None
        year, between, offset = written.groups()
        return f"{year}-01-01" + (f"{between}00:00:00{offset}" if between else "")


_MOMENT = re.compile(
    r"([0-9]{4})-[0-9]{2}-[0-9]{2}(?:([ T])[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]+)?)?"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?|))?"
)


def _network(value: str) -> str | None:
    try:
        address = ipaddress.ip_interface(value).ip
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(ipaddress.IPv4Network((int(address), 24), strict=False))
    return str(ipaddress.IPv6Network((int(address), 48), strict=False))
