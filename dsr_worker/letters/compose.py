"""Writes a letter: the paragraphs that its subject and the law of the case ask for, in order.

In: facts, a language. Out: the letter. The same facts give the same text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dsr_worker.domain.period import PauseEffect, Period, Unit
from dsr_worker.evidence import Words
from dsr_worker.letters import contents
from dsr_worker.letters.contents import LetterRefused, sentence_of
from dsr_worker.letters.facts import About, Facts, Kept, Letter
from dsr_worker.letters.texts import day_of, has_words, knows, languages, words_of
from dsr_worker.package.grounds import explained
from dsr_worker.statutes import Right, rights_row
from dsr_worker.statutes.model import RightsRow

_TO_COMPLETE = re.compile(r"\[[^\]]+\]")
_GDPR = re.compile(r"(?<!UK )\bGDPR Arts? ([0-9][^;]*)")


@dataclass
class _Pen:
    """One letter while it is written."""

    facts: Facts
    language: str
    row: RightsRow
    in_english: list[str] = field(default_factory=list)

    @property
    def texts(self) -> Mapping[str, Any]:
        return languages()[self.language]

    @property
    def words(self) -> Words:
        return words_of(self.language)

    def say(self, key: str, **more: object) -> str:
        """A sentence of this language with its blanks filled."""
        facts = self.facts
        return str(self.texts["sentence"][key]).format(
            ref=facts.ref,
            right=self.texts["right"][facts.right.value],
            law=self.words.known("law", facts.pack.name) or facts.pack.title,
            provision=self.cite(self.row.provisions[facts.right]),
            received_on=day_of(self.language, facts.received_on),
            due_on=day_of(self.language, facts.due_on),
            authority=facts.authority or facts.pack.authorities.body(facts.country),
            name=facts.sender.name,
            contact=facts.sender.contact,
            **more,
        )

    def cite(self, citation: str) -> str:
        """A provision as this language writes it."""
        known = self.words.known("citation", citation)
        if known is None:
            return _GDPR.sub(rf"Art. \1 {self.texts['gdpr']}", citation)
        return known.replace("GDPR", self.texts["gdpr"]) if "UK GDPR" not in known else known

    def ground(self, code: str, citation: str | None = None) -> str:
        """A ground in words, with its provision where it has one."""
        law = self.facts.pack
        exemption = next((e for e in law.exemptions if e.code == code), None)
        if exemption is None:
            said, cited = explained(code, self.words, law.name, citation)
            borrowed = not has_words(self.language)
        else:
            said = self.words.known("ground", exemption.words) or exemption.meaning
            cited = exemption.citation
            borrowed = not knows(self.language, "ground", exemption.words)
        if borrowed and self.language != "en":
            self.borrowed(code)
        return f"{said} ({self.cite(cited)})" if cited else said

    def borrowed(self, what: str) -> None:
        """Note that something is told in English."""
        if what not in self.in_english:
            self.in_english.append(what)


def composed(facts: Facts, language: str) -> Letter:
    """The letter of these facts in a language that letters are written in.

    Raises:
        LetterRefused: facts are missing for it, or the law asks for what no sentence says.
        UnknownNameError, ValueError: the law gave no such right on the day of receipt.

    """
    row = rights_row(facts.pack, facts.right, facts.received_on)
    pen = _Pen(facts, language, row)
    said = [pen.say("received"), *_BODIES[facts.about](pen), pen.say("questions")]
    head = f"{facts.sender.name}\n{facts.sender.address.strip()}"
    parts = [
        head,
        day_of(pen.language, facts.written_on),
        pen.texts["subject"][_subject(facts)].format(ref=facts.ref),
        pen.texts["greeting"],
        *said,
        pen.texts["closing"].format(name=facts.sender.name),
    ]
    text = "\n\n".join(parts) + "\n"
    return Letter(language, text, len(_TO_COMPLETE.findall(text)), tuple(pen.in_english))


def _subject(facts: Facts) -> str:
    in_part = facts.about is About.PARTIAL and facts.right is Right.ACCESS
    return "partial_access" if in_part else facts.about.value


# ---- bodies


def _acknowledgement(pen: _Pen) -> Iterator[str]:
    yield pen.say("law")
    yield pen.say("answer_by" if pen.facts.has_number else "answer_by_house")


def _identity(pen: _Pen) -> Iterator[str]:
    yield pen.say("identity")
    yield _waiting(pen)


def _clarification(pen: _Pen) -> Iterator[str]:
    yield pen.say("clarification")
    yield _waiting(pen)


def _waiting(pen: _Pen) -> str:
    """What the time to answer does while the person is asked."""
    effects = {PauseEffect.RESTART: "time_restarts", PauseEffect.SUSPEND: "time_stands"}
    effect = pen.facts.effect
    return pen.say("time_runs" if effect is None else effects[effect])


def _extension(pen: _Pen) -> Iterator[str]:
    facts = pen.facts
    if facts.new_due_on is None or facts.reason not in pen.texts["reason"]:
        raise LetterRefused("an extension has a new date and a reason: see `dsr extend --help`")
    new = day_of(pen.language, facts.new_due_on)
    reason = pen.texts["reason"][facts.reason]
    appeal = pen.row.appeal.answer if pen.row.appeal is not None else None
    clock = appeal if facts.appealed_on is not None and appeal is not None else pen.row.respond
    basis = pen.cite(clock.citation)
    yield pen.say("extension", new_due_on=new, reason=reason, basis=basis)


def _refusal(pen: _Pen) -> Iterator[str]:
    facts = pen.facts
    if not facts.ground:
        message = f"{facts.ref} is not refused: `dsr refuse {facts.ref} --ground CODE` comes first"
        raise LetterRefused(message)
    if facts.ground not in {row.code for row in facts.pack.exemptions}:
        message = (
            f"{facts.pack.name}, as it stood when {facts.ref} came, knows no ground"
            f" {facts.ground}: write this letter by hand, with the provision"
        )
        raise LetterRefused(message)
    said = pen.say("reasons", ground=pen.ground(facts.ground))
    return _against(pen, [contents.REASONS], {contents.REASONS: said})


def _partial(pen: _Pen) -> Iterator[str]:
    if not pen.facts.kept:
        message = (
            f"nothing is known of {pen.facts.ref} that was kept back: a letter about a part comes"
            " after the work, and where something stays, or a package leaves something out"
        )
        raise LetterRefused(message)
    listed = "\n".join(f"- {_kept(pen, one)}" for one in pen.facts.kept)
    is_access = pen.facts.right is Right.ACCESS
    opening = pen.say("partial_access" if is_access else "partial")
    said = {contents.REASONS: f"{opening}\n{listed}"}
    said[contents.REST_DONE] = pen.say("rest_in_package" if is_access else "rest_was_done")
    return _against(pen, list(said), said)


def _appeal_dismissed(pen: _Pen) -> Iterator[str]:
    """The reasons once more, and how to reach the authority (Va. Code 59.1-577(C) and the like)."""
    yield _appealed(pen)
    yield pen.say("appeal_dismissed", basis=_appeal_basis(pen))
    if pen.facts.ground:
        yield pen.say("reasons", ground=pen.ground(pen.facts.ground))
    yield pen.say("appeal_why")
    yield from _beyond_us(pen)


def _appeal_granted(pen: _Pen) -> Iterator[str]:
    yield _appealed(pen)
    yield pen.say("appeal_granted", basis=_appeal_basis(pen))
    yield pen.say("answer_by" if pen.facts.has_number else "answer_by_house")


def _appeal_partly(pen: _Pen) -> Iterator[str]:
    yield _appealed(pen)
    yield pen.say("appeal_partly", basis=_appeal_basis(pen))
    yield pen.say("appeal_why")
    yield pen.say("answer_by" if pen.facts.has_number else "answer_by_house")
    yield from _beyond_us(pen)


def _appealed(pen: _Pen) -> str:
    facts = pen.facts
    if facts.appealed_on is None or pen.row.appeal is None:
        message = (
            f"no appeal of {facts.ref} was decided so: `dsr appeal {facts.ref} --decide …` comes"
            " first"
        )
        raise LetterRefused(message)
    return pen.say("appealed", appealed_on=day_of(pen.language, facts.appealed_on))


def _appeal_basis(pen: _Pen) -> str:
    return pen.cite(pen.row.appeal.citation) if pen.row.appeal is not None else ""


def _beyond_us(pen: _Pen) -> Iterator[str]:
    """Whom the person may turn to after us: what the law asks a refusal to name, and the way."""
    asked = {sentence_of(code) for code in pen.row.refusal.contents}
    keys = {contents.AUTHORITY, *(contents.REMEDIES & asked)} - {contents.APPEAL}
    if keys & contents.TO_AUTHORITY - {contents.AUTHORITY}:
        keys.discard(contents.AUTHORITY)
    for key in sorted(keys):
        yield pen.say(key)
    yield pen.say("appeal_how")


def _kept(pen: _Pen, kept: Kept) -> str:
    text = pen.texts["kept"]["entry" if kept.rows == 1 else "entries"]
    line = text.format(rows=kept.rows, ground=pen.ground(kept.ground, kept.citation))
    if kept.until_on is None:
        return str(line)
    return f"{line}{pen.texts['kept']['until'].format(day=day_of(pen.language, kept.until_on))}"


def _against(pen: _Pen, first: list[str], said: Mapping[str, str]) -> Iterator[str]:
    """What a law asks for in a refusal, and what the person can do against it."""
    asked = [sentence_of(code) for code in pen.row.refusal.contents]
    keys = list(dict.fromkeys([*first, *asked]))
    appeal = pen.row.appeal
    if not contents.REMEDIES & set(keys) and appeal is not None:
        keys.append(contents.CHANNEL)
    if not contents.TO_AUTHORITY & set(keys):
        keys.append(contents.AUTHORITY)
    by_us = {contents.APPEAL, contents.REVIEW} & set(keys)
    if appeal is not None and appeal.answer is not None and not by_us:
        keys.append(contents.APPEAL)
    if appeal is not None and appeal.file_within and contents.APPEAL not in keys:
        keys.append(contents.DEADLINE)
    special: Mapping[str, Callable[[_Pen], str]] = {
        contents.APPEAL: _appeal,
        contents.DEADLINE: _deadline,
        contents.CHANNEL: _channel,
    }
    for key in sorted(dict.fromkeys(keys), key=contents.place):
        yield said.get(key) or (special[key](pen) if key in special else pen.say(key))


def _appeal(pen: _Pen) -> str:
    """How to appeal to us, until when, and when we answer."""
    appeal = pen.row.appeal
    if appeal is None or appeal.answer is None:
        raise LetterRefused(f"{pen.row.id} asks for the way to an appeal and has none: mend it")
    said = pen.say("appeal", file_within=_file_within(pen))
    period = appeal.answer.period.period()
    if period.unit is Unit.NONE:
        return f"{said} {pen.say('appeal_answered')}"
    return f"{said} {pen.say('appeal_answered_within', within=_period(pen, period))}"


def _deadline(pen: _Pen) -> str:
    return pen.say("deadline", file_within=_file_within(pen))


def _file_within(pen: _Pen) -> str:
    said = pen.row.appeal.file_within if pen.row.appeal is not None else ""
    if said not in pen.texts["file_within"]:
        message = (
            f"no letter says `{said}`, the time for going against a refusal by {pen.row.id}: add it"
            " to `file_within` in dsr_worker/letters/languages/"
        )
        raise LetterRefused(message)
    return str(pen.texts["file_within"][said])


def _channel(pen: _Pen) -> str:
    """The way that the law names, in the words of the pack."""
    channel = pen.row.appeal.channel if pen.row.appeal is not None else ""
    if pen.language != "en":
        pen.borrowed(channel)
    return pen.say("channel", channel=channel)


def _period(pen: _Pen, period: Period) -> str:
    return str(pen.texts["period"][period.unit.value].format(amount=period.amount))


_BODIES: Mapping[About, Callable[[_Pen], Iterator[str]]] = {
    About.ACKNOWLEDGEMENT: _acknowledgement,
    About.IDENTITY: _identity,
    About.CLARIFICATION: _clarification,
    About.EXTENSION: _extension,
    About.REFUSAL: _refusal,
    About.PARTIAL: _partial,
    About.APPEAL_DISMISSED: _appeal_dismissed,
    About.APPEAL_GRANTED: _appeal_granted,
    About.APPEAL_PARTLY: _appeal_partly,
}
