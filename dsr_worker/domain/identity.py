"""The one canonicaliser: what a person's e-mail, phone or number is equal to.

Why this room exists: two spellings of one address must meet, and two people never. Everything that
compares identities compares the text that leaves here. A kind and a value enter; its canonical form
leaves, or, for what a requester states, a refusal that says what to do.

The rules, all of which err towards "not equal":

* e-mail: Unicode NFC and ASCII letters lowered, the domain in its IDNA 2008 A-labels. Dots, `+tags`
  and quotes count; a letter outside ASCII is compared exactly, never folded.
* phone: digits, with a leading `+` where it was written. A national number equals only the same
  digits, since no country is guessed.
* everything else: the exact text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

import idna

from dsr_worker.contract import Identity

MAX_BYTES = 320
"""64 octets of local part, `@`, 255 octets of domain (RFC 5321, 4.5.3.1)."""
MAX_PHONE_DIGITS = 15
"""ITU-T E.164, 6.1."""
MIN_PHONE_DIGITS = 5

NULL_LIKE = frozenset(
    {
        *("null", "(null)", "none", "nil", "nan", "n/a", "na", "n.a.", "#n/a", "undefined"),
        *("unknown", "unbekannt", "inconnu", "anonymous", "empty", "missing", "deleted"),
        *("-", "--", ".", "?", "\\n", "true", "false"),
    }
)
"""Texts that stand for "no value" in real tables; compared with ASCII letters lowered."""

ROLE_LOCAL_PARTS = frozenset(
    {
        *("noreply", "no-reply", "no_reply", "donotreply", "do-not-reply", "do_not_reply"),
        *("mailer-daemon", "postmaster", "hostmaster", "webmaster", "abuse", "root", "nobody"),
    }
)
"""Mailboxes that belong to a role (RFC 2142) and name no person."""

_CUT = re.compile("[\ud800-\udfff]")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KEY_LIKE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PHONE = re.compile(r"\+?[0-9 ()./-]+")
_WILDCARDS = frozenset("%*_?")
_BLANKS = " \t\r\n"
_PLAIN_MAIL = re.compile(r"[!-?\[-~]+@[!-?\[-~]+")
"""One `@` among visible signs of ASCII without capitals: nothing to compose, lower or strip."""
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_TO_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
# NFC turns these three into ASCII: KELVIN SIGN, GREEK QUESTION MARK, GREEK VARIA.
_BECOME_ASCII = frozenset("\u212a\u037e\u1fef")


class IdentityRefused(ValueError):  # noqa: N818 - a refusal, not a fault
    """What was stated cannot name one person. `code` is stable, `remedy` says what to do.

    Neither holds the value, so both may reach logs and answers.
    """

    def __init__(self, kind: str, code: str, remedy: str) -> None:
        super().__init__(f"{kind}: {code}; {remedy}")
        self.kind = kind
        self.code = code
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What the house refuses beside the fixed rules: role mailboxes, and domains (its own)."""

    denied_local_parts: frozenset[str] = ROLE_LOCAL_PARTS
    denied_domains: frozenset[str] = field(default_factory=frozenset)


DEFAULT_RULES = ClaimRules()


def claimed(kind: str, value: str, rules: ClaimRules = DEFAULT_RULES) -> Identity:
    """Return the identity that a requester states, in canonical form.

    Raises:
        IdentityRefused: it is empty, a placeholder, a wildcard, hidden or mixed characters, a
            role's mailbox, too long, or no value of this kind.

    """
    if _KIND.fullmatch(kind) is None:
        raise IdentityRefused("identity", "kind", "name a kind such as email or customer_number")
    text = value.strip(_BLANKS)
    _refuse_placeholders(kind, text)
    if kind == "email":
        _refuse_mail(text, rules)
    elif kind == "phone":
        _refuse_phone(text)
    elif _KEY_LIKE.fullmatch(text) is None:
        code = "path" if "/" in text or "\\" in text or ".." in text else "characters"
        raise IdentityRefused(kind, code, "use letters, digits, - and _ only, at most 64")
    canonical = canonical_stored(kind, text)
    if canonical is None:
        raise IdentityRefused(kind, "malformed", "state it as it is on file")
    return Identity(kind, canonical)


def canonical_stored(kind: str, value: str) -> str | None:
    """Return the canonical form of a value found in a store; None where it names nobody.

    Idempotent: the canonical form of a canonical form is itself. Half of a surrogate pair, as a
    text in JSON may hold it, is no letter of any name.
    """
    if kind == "email" and _PLAIN_MAIL.fullmatch(value):
        return value
    if _CUT.search(value):
        return None
    if not value.strip() or _is_null_like(kind, value.strip(_BLANKS)):
        return None
    if kind == "email":
        return _canonical_mail(value.strip(_BLANKS))
    if kind == "phone":
        return _canonical_phone(value.strip(_BLANKS))
    return value


def ascii_lower(text: str) -> str:
    """Lower the letters A to Z and nothing else."""
    return text.lower() if text.isascii() else text.translate(_TO_LOWER)


def _is_null_like(kind: str, text: str) -> bool:
    if kind in {"email", "phone"} and not text.strip("0"):
        return True
    return ascii_lower(text) in NULL_LIKE


def _refuse_placeholders(kind: str, text: str) -> None:
    if not text.strip():
        raise IdentityRefused(kind, "empty", "state the value")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise IdentityRefused(kind, "too_long", f"at most {MAX_BYTES} bytes")
    if _is_null_like(kind, text):
        raise IdentityRefused(kind, "null_like", "a placeholder names nobody; leave it out")
    if set(text) <= _WILDCARDS | {"@", "."} and _WILDCARDS & set(text):
        raise IdentityRefused(kind, "wildcard", "state one whole value; wildcards are not taken")
    if any(unicodedata.category(letter) in _HIDDEN and letter != " " for letter in text):
        raise IdentityRefused(
            kind, "hidden_characters", "type it anew: it holds invisible or control characters"
        )


def _canonical_mail(text: str) -> str | None:
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        return None
    return f"{_composed(local)}@{_canonical_domain(_composed(domain))}"


def _composed(text: str) -> str:
    if text.isascii() or _BECOME_ASCII & set(text):
        return ascii_lower(text)
    # Twice, since some letters compose with a mark only in lower case (h and U+0331).
    return unicodedata.normalize("NFC", ascii_lower(unicodedata.normalize("NFC", text)))


def _canonical_domain(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain).decode("ascii")
    except idna.IDNAError:
        return domain


def _refuse_mail(text: str, rules: ClaimRules) -> None:
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise IdentityRefused("email", "malformed", "state the whole address, with one @")
    quoted = len(local) > 1 and local[0] == local[-1] == '"'
    if not quoted and set(local) & set(' @,;:<>()[]\\"'):
        raise IdentityRefused("email", "malformed", "state one bare address, without a name")
    if set(local) <= {"%", "*"}:
        raise IdentityRefused("email", "wildcard", "state one whole address")
    if _BECOME_ASCII & set(text):
        raise IdentityRefused("email", "mixed_script", "type it anew: a letter only looks Latin")
    _refuse_domain(_composed(domain))
    _refuse_nobody(ascii_lower(local), ascii_lower(_canonical_domain(_composed(domain))), rules)


def _refuse_domain(domain: str) -> None:
    labels = domain.split(".")
    if len(labels) == 1:
        raise IdentityRefused("email", "malformed", "state the whole domain, such as shop.example")
    for label in labels:
        if len({_script(letter) for letter in label if letter.isalpha()}) > 1:
            raise IdentityRefused(
                "email", "mixed_script", "type the domain anew: it mixes alphabets within a word"
            )
    try:
        idna.encode(domain)
    except idna.IDNAError:
        raise IdentityRefused(
            "email", "malformed", "the domain is none; write it in small letters"
        ) from None


def _script(letter: str) -> str:
    name = unicodedata.name(letter, "UNNAMED").partition(" ")[0]
    return "JAPANESE" if name in {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"} else name


def _refuse_nobody(local: str, domain: str, rules: ClaimRules) -> None:
    if local in NULL_LIKE and domain.partition(".")[0] in NULL_LIKE:
        raise IdentityRefused("email", "null_like", "a placeholder names nobody; leave it out")
    mailbox = local.partition("+")[0]
    if mailbox in rules.denied_local_parts or domain in rules.denied_domains:
        raise IdentityRefused(
            "email", "role_address", "this mailbox belongs to no one person; state the person's own"
        )


def _canonical_phone(text: str) -> str | None:
    if _PHONE.fullmatch(text) is None:
        return None
    digits = "".join(letter for letter in text if letter in "0123456789")
    if not MIN_PHONE_DIGITS <= len(digits) <= MAX_PHONE_DIGITS or not digits.strip("0"):
        return None
    return f"+{digits}" if text.startswith("+") else digits


def _refuse_phone(text: str) -> None:
    if "(0)" in text:
        raise IdentityRefused("phone", "malformed", "leave out the (0): +49 30 … or 030 …")
    if _canonical_phone(text) is None:
        raise IdentityRefused(
            "phone",
            "malformed",
            f"{MIN_PHONE_DIGITS} to {MAX_PHONE_DIGITS} digits, best as +49 30 …, no extension",
        )
