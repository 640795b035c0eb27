"""Letters to the person: what each law of a case asks to be told, in the language of the case.

Why this room exists: a refusal without the ground, the authority and the way to an appeal is void
in many places, and nobody remembers for a hundred laws what has to stand in it. The facts of a case
and its law packs enter; a text leaves, which a person reads and sends. Nothing is sent or signed
here, and no row's standing is told: whether a row was read is for the house, not the person.
"""

from dsr_worker.letters.compose import composed
from dsr_worker.letters.contents import SENTENCES, LetterRefused, sentence_of
from dsr_worker.letters.facts import About, ByLaw, Facts, Kept, Letter, Sender
from dsr_worker.letters.texts import languages, words_of

__all__ = [
    "SENTENCES",
    "About",
    "ByLaw",
    "Facts",
    "Kept",
    "Letter",
    "LetterRefused",
    "Sender",
    "composed",
    "languages",
    "sentence_of",
    "words_of",
]
