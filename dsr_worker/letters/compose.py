"""Writes a letter: the paragraphs that its subject and the laws of the case ask for, in order.

In: facts, a language. Out: the letter. The same facts give the same text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from dsr_worker.domain.period import PauseEffect, Unit
from dsr_worker.letters import contents
from dsr_worker.letters.contents import LetterRefused, place, sentence_of
from dsr_worker.letters.facts import About, Facts, Kept, Letter
from dsr_worker.letters.pen import Pen, with_citation
from dsr_worker.letters.sections import Part, in_sections
from dsr_worker.statutes import Right, rights_row

_TO_COMPLETE = re.compile(r"\[[^\]]+\]")
_WITH_APPEALS = frozenset({contents.APPEAL, contents.REVIEW})

Pens = Sequence[Pen]


def composed(facts: Facts, language: str) -> Letter:
    """The letter of these facts in a language that letters are written in.

    Raises:
        LetterRefused: facts are missing for it, or a law asks for what no sentence says.
        UnknownNameError, ValueError: a law gave no such right on the day of receipt.

    """
    in_english: list[str] = []
    pens = [
        Pen(facts, law, language, rights_row(law.pack, facts.right, law.received_on), in_english)
        for law in facts.laws
    ]
    own, texts = pens[0], pens[0].texts
    parts = [
        f"{facts.sender.name}\n{facts.sender.address.strip()}",
        own.day(facts.written_on),
        texts["subject"][_subject(facts)].format(ref=facts.ref),
        texts["greeting"],
        own.say("received"),
        *_BODIES[facts.about](pens),
        own.say("questions"),
        texts["closing"].format(name=facts.sender.name),
    ]
    text = "\n\n".join(parts) + "\n"
    to_complete = len(_TO_COMPLETE.findall(text))
    laws = tuple(law.pack.name for law in facts.laws)
    return Letter(language, text, to_complete, laws, tuple(in_english))


def _subject(facts: Facts) -> str:
    in_part = facts.about is About.PARTIAL and facts.right is Right.ACCESS
    return "partial_access" if in_part else facts.about.value


# ---- the time to answer


def _acknowledgement(pens: Pens) -> Iterator[str]:
    yield from _laws_and_days(pens, "law")
    yield _answer_by(pens)


def _laws_and_days(pens: Pens, alone: str) -> Iterator[str]:
    """Of several laws each with its day; of one law the sentence `alone`."""
    if len(pens) == 1:
        yield pens[0].say(alone)
        return
    lines = [p.say("law_and_day" if p.law.has_number else "law_and_house_day") for p in pens]
    yield "\n- ".join((pens[0].say("laws"), *lines))


def _answer_by(pens: Pens) -> str:
    """The soonest day that a law gives; where none gives one, the house's."""
    numbered = [pen for pen in pens if pen.law.has_number]
    first = min(numbered or pens, key=lambda pen: pen.law.due_on)
    return first.say("answer_by" if numbered else "answer_by_house")


def _identity(pens: Pens) -> Iterator[str]:
    yield pens[0].say("identity")
    yield from in_sections(pens, [[Part(_waiting(pen))] for pen in pens])


def _clarification(pens: Pens) -> Iterator[str]:
    yield pens[0].say("clarification")
    yield from in_sections(pens, [[Part(_waiting(pen))] for pen in pens])


def _waiting(pen: Pen) -> str:
    """What the time to answer does while the person is asked."""
    effects = {PauseEffect.RESTART: "time_restarts", PauseEffect.SUSPEND: "time_stands"}
    effect = pen.law.effect
    return pen.say("time_runs" if effect is None else effects[effect])


def _extension(pens: Pens) -> Iterator[str]:
    if all(pen.law.new_due_on is None for pen in pens):
        raise LetterRefused("an extension has a new date and a reason: see `dsr extend --help`")
    yield from in_sections(pens, [[Part(_extended(pen))] for pen in pens])


def _extended(pen: Pen) -> str:
    """What becomes of the time by one law: the new date, or that it stays as it is."""
    law, facts = pen.law, pen.facts
    if law.new_due_on is None:
        return pen.say("not_extended" if law.due_on >= facts.written_on else "not_extended_past")
    if law.reason not in pen.texts["reason"]:
        raise LetterRefused("an extension has a new date and a reason: see `dsr extend --help`")
    appeal = pen.row.appeal.answer if pen.row.appeal is not None else None
    clock = appeal if facts.appealed_on is not None and appeal is not None else pen.row.respond
    return pen.say(
        "extension",
        new_due_on=pen.day(law.new_due_on),
        reason=pen.texts["reason"][law.reason],
        basis=pen.cite(clock.citation),
    )


# ---- against an answer


def _refusal(pens: Pens) -> Iterator[str]:
    ref = pens[0].facts.ref
    if not any(pen.law.grounds for pen in pens):
        raise LetterRefused(f"{ref} is not refused: `dsr refuse {ref} --ground CODE` comes first")
    yield from in_sections(pens, [list(_refused(pen)) for pen in pens])


def _refused(pen: Pen) -> Iterator[Part]:
    law, ref = pen.law, pen.facts.ref
    unknown = [code for code in law.grounds if code not in {e.code for e in law.pack.exemptions}]
    if unknown or not law.grounds:
        message = (
            f"{law.pack.name}, as it stood when {ref} came, knows no ground"
            f" {', '.join(unknown) or 'of those that were named'}: write this letter by hand, with"
            " the provision"
        )
        raise LetterRefused(message)
    yield _reasons(pen)
    yield from _against(pen, frozenset({contents.REASONS}))


def _reasons(pen: Pen) -> Part:
    said = pen.texts["and"].join(with_citation(*pen.ground(code)) for code in pen.law.grounds)
    return Part(pen.say("reasons", ground=said))


def _partial(pens: Pens) -> Iterator[str]:
    own = pens[0]
    if not own.facts.kept:
        message = (
            f"nothing is known of {own.facts.ref} that was kept back: a letter about a part comes"
            " after the work, and where something stays, or a package leaves something out"
        )
        raise LetterRefused(message)
    is_access = own.facts.right is Right.ACCESS
    provision = own.texts["and"].join(dict.fromkeys(pen.provision for pen in pens))
    opening = own.say("partial_access" if is_access else "partial", provision=provision)
    yield "\n- ".join((opening, *(_kept(pens, one) for one in own.facts.kept)))
    yield own.say("rest_in_package" if is_access else "rest_was_done")
    said = frozenset({contents.REASONS, contents.REST_DONE})
    yield from in_sections(pens, [list(_against(pen, said)) for pen in pens])


def _kept(pens: Pens, kept: Kept) -> str:
    """A ground with its number of entries; where laws mean the same by it, each one's provision."""
    knowing = [p for p in pens if kept.ground in {row.code for row in p.law.pack.exemptions}]
    cited: dict[str, list[str]] = {}
    for pen in knowing or pens[:1]:
        said, citation = pen.ground(kept.ground, kept.citation)
        cited.setdefault(said, []).extend([citation] if citation else [])
    texts, also = pens[0].texts["kept"], pens[0].texts["and"]
    ground = also.join(with_citation(said, also.join(by)) for said, by in cited.items())
    form = str(texts["entry" if kept.rows == 1 else "entries"])
    line = form.format(rows=kept.rows, ground=ground)
    if kept.until_on is None:
        return line
    return f"{line}{texts['until'].format(day=pens[0].day(kept.until_on))}"


def _against(pen: Pen, before: frozenset[str]) -> Iterator[Part]:
    """What a law asks for in a refusal, and what the person can do against it.

    What was said `before` is left out.
    """
    keys = dict.fromkeys(sentence_of(code) for code in pen.row.refusal.contents)
    appeal = pen.row.appeal
    body = pen.law.pack.authorities.body(pen.law.country)
    if not contents.REMEDIES & set(keys) and appeal is not None and appeal.channel not in body:
        keys[contents.CHANNEL] = None
    if not contents.TO_AUTHORITY & set(keys):
        keys[contents.AUTHORITY] = None
    if appeal is not None and appeal.answer is not None and not _WITH_APPEALS & set(keys):
        keys[contents.APPEAL] = None
    if appeal is not None and appeal.file_within and contents.APPEAL not in keys:
        keys[contents.DEADLINE] = None
    if contents.RECOURSE in keys:  # which says the same, and what comes after it
        keys.pop(contents.AUTHORITY, None)
    for key in keys:
        if key not in before:
            law = pen.law.pack.name if key in {contents.DEADLINE, contents.CHANNEL} else ""
            yield Part(_SPECIAL[key](pen) if key in _SPECIAL else pen.say(key), place(key), law)


def _appeal(pen: Pen) -> str:
    """How to appeal to us, until when, and when we answer."""
    appeal = pen.row.appeal
    if appeal is None or appeal.answer is None:
        raise LetterRefused(f"{pen.row.id} asks for the way to an appeal and has none: mend it")
    said = pen.say("appeal", file_within=_file_within(pen))
    period = appeal.answer.period.period()
    if period.unit is Unit.NONE:
        return f"{said} {pen.say('appeal_answered')}"
    return f"{said} {pen.say('appeal_answered_within', within=pen.period(period))}"


def _deadline(pen: Pen) -> str:
    return pen.say("deadline", file_within=_file_within(pen))


def _file_within(pen: Pen) -> str:
    said = pen.row.appeal.file_within if pen.row.appeal is not None else ""
    if said not in pen.texts["file_within"]:
        message = (
            f"no letter says `{said}`, the time for going against a refusal by {pen.row.id}: add it"
            " to `file_within` in dsr_worker/letters/languages/"
        )
        raise LetterRefused(message)
    return str(pen.texts["file_within"][said])


def _channel(pen: Pen) -> str:
    """The way that the law names."""
    channel = pen.row.appeal.channel if pen.row.appeal is not None else ""
    return pen.say("channel", channel=pen.channel(channel))


_SPECIAL: Mapping[str, Callable[[Pen], str]] = {
    contents.APPEAL: _appeal,
    contents.DEADLINE: _deadline,
    contents.CHANNEL: _channel,
}


# ---- appeals


def _appeal_acknowledgement(pens: Pens) -> Iterator[str]:
    yield _appealed(pens, "appeal_received")
    if len(pens) > 1:
        yield from _laws_and_days(pens, "")
    numbered = [pen for pen in pens if pen.law.has_number]
    first = min(numbered or pens, key=lambda pen: pen.law.due_on)
    key = "appeal_answer_by" if numbered else "appeal_answer_by_house"
    yield first.say(key, basis=_basis([first]))


def _appeal_dismissed(pens: Pens) -> Iterator[str]:
    """The reasons once more, and how to reach the authority (Va. Code 59.1-577(C) and the like)."""
    yield _appealed(pens, "appealed")
    yield pens[0].say("appeal_dismissed", basis=_basis(pens))
    yield from in_sections(pens, [list(_dismissed(pen)) for pen in pens])


def _dismissed(pen: Pen) -> Iterator[Part]:
    if pen.law.grounds:
        yield _reasons(pen)
    yield Part(pen.say("appeal_why"))
    yield from _beyond_us(pen)


def _appeal_granted(pens: Pens) -> Iterator[str]:
    yield _appealed(pens, "appealed")
    yield pens[0].say("appeal_granted", basis=_basis(pens))
    yield _answer_by(pens)


def _appeal_partly(pens: Pens) -> Iterator[str]:
    yield _appealed(pens, "appealed")
    yield pens[0].say("appeal_partly", basis=_basis(pens))
    yield pens[0].say("appeal_why")
    yield _answer_by(pens)
    yield from in_sections(pens, [list(_beyond_us(pen)) for pen in pens])


def _appealed(pens: Pens, key: str) -> str:
    facts = pens[0].facts
    if facts.appealed_on is None or any(pen.row.appeal is None for pen in pens):
        message = (
            f"no appeal of {facts.ref} stands so: `dsr appeal {facts.ref} --received …` takes one"
            f" in, `dsr appeal {facts.ref} --decide …` decides on it, and its letter comes after"
        )
        raise LetterRefused(message)
    return pens[0].say(key, appealed_on=pens[0].day(facts.appealed_on))


def _basis(pens: Pens) -> str:
    cited = [pen.cite(pen.row.appeal.citation) for pen in pens if pen.row.appeal is not None]
    return str(pens[0].texts["and"].join(dict.fromkeys(cited)))


def _beyond_us(pen: Pen) -> Iterator[Part]:
    """Whom the person may turn to after us: what the law asks a refusal to name, and the way."""
    asked = {sentence_of(code) for code in pen.row.refusal.contents}
    keys = {contents.AUTHORITY, *(contents.REMEDIES & asked)} - {contents.APPEAL}
    if keys & contents.TO_AUTHORITY - {contents.AUTHORITY}:
        keys.discard(contents.AUTHORITY)
    yield from (Part(pen.say(key), 1) for key in sorted(keys))
    yield Part(pen.say("appeal_how"), 2)


_BODIES: Mapping[About, Callable[[Pens], Iterator[str]]] = {
    About.ACKNOWLEDGEMENT: _acknowledgement,
    About.IDENTITY: _identity,
    About.CLARIFICATION: _clarification,
    About.EXTENSION: _extension,
    About.REFUSAL: _refusal,
    About.PARTIAL: _partial,
    About.APPEAL_ACKNOWLEDGEMENT: _appeal_acknowledgement,
    About.APPEAL_DISMISSED: _appeal_dismissed,
    About.APPEAL_GRANTED: _appeal_granted,
    About.APPEAL_PARTLY: _appeal_partly,
}
