"""What went wrong, told as one sentence with a remedy, and as an exit code. Never a traceback.

The texts of our own errors are shown, since they promise to hold no personal value. Of any other
error only its class is named: a database or a library may quote what it was given.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping

import click

from dsr_worker.cli.output import noted

OK, REFUSED, USAGE, NOT_READY, NOT_FOUND, INTERRUPTED = 0, 1, 2, 3, 4, 130


class Fault(click.ClickException):
    """A refusal of the command line's own. `code` is stable; the text names the remedy."""

    def __init__(self, code: str, message: str, exit_code: int = REFUSED) -> None:
        super().__init__(message)
        self.code = code
        self.status = exit_code


def usage(message: str) -> Fault:
    """A fault of the input."""
    return Fault("usage", message, USAGE)


def not_found(message: str) -> Fault:
    """A fault for what is not there."""
    return Fault("not_found", message, NOT_FOUND)


_KNOWN: Mapping[str, tuple[str, int]] = {
    "dsr_worker.installation.NotSetUp": ("not_set_up", NOT_READY),
    "dsr_worker.contract.errors.Configuration": ("configuration", NOT_READY),
    "dsr_worker.datamap.SecretMissing": ("secret_missing", NOT_READY),
    "dsr_worker.documents.DocumentError": ("files", NOT_READY),
    "dsr_worker.embedded.binaries.EmbeddedError": ("services", NOT_READY),
    "dsr_worker.ledger.connection.LedgerUnreachable": ("ledger_unreachable", NOT_READY),
    "dsr_worker.ledger.connection.SchemaOutdated": ("schema", NOT_READY),
    "dsr_worker.ledger.instances.WrongKeyRing": ("key_ring", NOT_READY),
    "dsr_worker.vault.keyring.KeyRingRefused": ("key_ring", NOT_READY),
    "dsr_worker.actors.ActorKeyError": ("actor_key", NOT_READY),
    "dsr_worker.store.blobs.BlobMissing": ("answer_missing", NOT_FOUND),
    "dsr_worker.store.blobs.StoreError": ("store", NOT_READY),
    "dsr_worker.actors.SignatureRefusedError": ("signature", REFUSED),
    "dsr_worker.people.ActorRefused": ("actor_refused", REFUSED),
    "dsr_worker.ledger.instances.NoTrial": ("no_trial", REFUSED),
    "dsr_worker.vault.seal.SealBroken": ("seal_broken", REFUSED),
    "dsr_worker.fulfil.intake.NotReceivedYet": ("request_refused", USAGE),
    "dsr_worker.fulfil.intake.RequestRefused": ("request_refused", REFUSED),
    "dsr_worker.fulfil.correcting.CorrectionRefused": ("correction_refused", USAGE),
    "dsr_worker.fulfil.decided.NotHappenedYet": ("decision_refused", USAGE),
    "dsr_worker.fulfil.decided.DecisionRefused": ("decision_refused", REFUSED),
    "dsr_worker.letters.contents.LetterRefused": ("letter_refused", REFUSED),
    "dsr_worker.breach.declaring.NotHappenedYet": ("breach_refused", USAGE),
    "dsr_worker.breach.declaring.BreachRefused": ("breach_refused", REFUSED),
    "dsr_worker.sweep.decisions.SweepRefused": ("sweep_refused", REFUSED),
    "dsr_worker.package.contents.PackageRefused": ("package_refused", REFUSED),
    "dsr_worker.evidence.certificate.CertificateRefused": ("certificate_refused", REFUSED),
    "dsr_worker.domain.due.ClockRefusedError": ("clock_refused", REFUSED),
    "dsr_worker.domain.identity.IdentityRefused": ("identity_refused", USAGE),
    "dsr_worker.domain.request.KindRefusedError": ("kind_refused", USAGE),
    "dsr_worker.statutes.names.UnknownNameError": ("unknown_name", USAGE),
}


_TOO_LATE = frozenset({"57014", "55P03"})  # query_canceled, lock_not_available
_STAYS = "interrupted; what was committed before stays: see `dsr status`"


def interrupted(message: str) -> Fault:
    """A fault for Ctrl-C, where more is known than that what was committed stays."""
    return Fault("interrupted", f"{_STAYS}. {message}", INTERRUPTED)


def tell(error: BaseException, *, as_json: bool) -> int:
    """Write the error to stderr; the exit code that belongs to it."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    code, message, exit_code = described(error)
    if as_json:
        told = {"error": {"code": code, "message": message}, **noted()}
        text = json.dumps(told, ensure_ascii=False)
    else:
        text = f"dsr: {message}"
    sys.stderr.write(f"{text}\n")
    return exit_code


def described(error: BaseException) -> tuple[str, str, int]:  # noqa: PLR0911 - a table of cases
    """Code, sentence and exit code of an error."""
    if isinstance(error, Fault):
        return error.code, error.message, error.status
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _stopped(error)
    if isinstance(error, click.ClickException):
        return "usage", _usage_text(error), USAGE
    for cls in type(error).__mro__:
        known = _KNOWN.get(f"{cls.__module__}.{cls.__qualname__}")
        if known is not None:
            return known[0], str(error).strip() or cls.__name__, known[1]
    if isinstance(error, UnicodeError):
        return "usage", "a value or file that was given is not UTF-8 text; nothing was done", USAGE
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return "file", f"{where}{error.strerror.lower()}", REFUSED
    if type(error).__module__.startswith("pydantic"):
        return "settings", "; ".join(_settings(error)), NOT_READY
    if type(error).__module__.startswith(("psycopg2", "sqlalchemy")):
        return "ledger", _ledger_text(error), NOT_READY
    name = type(error).__name__
    message = f"this failed unexpectedly ({name}); nothing was printed of its data: report it"
    return "unexpected", message, REFUSED


def _stopped(error: BaseException) -> tuple[str, str, int]:
    """Ctrl-C, of which click makes an Abort, or the other Abort: the answer no to a question."""
    if isinstance(error.__cause__ or error.__context__ or error, KeyboardInterrupt):
        return "interrupted", _STAYS, INTERRUPTED
    return "aborted", "stopped; nothing was done", REFUSED


def _ledger_text(error: BaseException) -> str:
    state = getattr(getattr(error, "orig", error), "pgcode", None) or "none"
    late = " after waiting as long as a statement may take" if state in _TOO_LATE else ""
    remedy = "nothing of this command was kept; `dsr health` says how the ledger stands"
    return f"the ledger stopped this{late} (SQLSTATE {state}): {remedy}"


def _usage_text(error: click.ClickException) -> str:
    """Click's sentence, unless it quotes what may be a person's value."""
    if isinstance(error, click.NoSuchOption):
        hint = f"; did you mean {' or '.join(error.possibilities)}?" if error.possibilities else ""
        return f"there is no such option{hint}"
    if isinstance(error, click.exceptions.NoSuchCommand):
        close = error.possibilities
        hint = f"did you mean {' or '.join(close)}?" if close else "see --help"
        return f"there is no such command; {hint}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        kind = error.param.type
        if isinstance(kind, click.IntRange | click.FloatRange):
            most = "" if kind.max is None else f" to {kind.max}"
            return f"{error.param.opts[0]} is a number from {kind.min}{most}"
    if isinstance(error, click.MissingParameter):
        return error.format_message()
    text = error.format_message()
    if "unexpected extra argument" in text:
        return "an argument too many; values belong behind their option, see --help"
    return text


def _settings(error: BaseException) -> Iterator[str]:
    details = error.errors(include_url=False, include_input=False)  # type: ignore[attr-defined]  # pydantic's
    for found in details:
        name = "_".join(str(part) for part in found["loc"]).upper()
        yield f"setting DSR_{name}: {found['msg']}"
