"""Handing answers over: `dsr package`, `dsr certificate`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dsr_worker.cli import desk, faults
from dsr_worker.cli.cases import CASES, closed_data, closed_lines
from dsr_worker.cli.desk import Opening, acting, pass_opening
from dsr_worker.cli.faults import usage
from dsr_worker.cli.output import json_option, note, show
from dsr_worker.evidence import verify_certificate
from dsr_worker.fulfil.delivery import Delivered
from dsr_worker.fulfil.planning import AUTOMATIC
from dsr_worker.fulfil.plans import free_text_notice
from dsr_worker.package import Method, new_passphrase
from dsr_worker.vault import KeyRing, KeyRingRefused

_NEW_FILE = click.Path(path_type=Path, dir_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_NOT_PRINTED = frozenset({"Cc", "Cs"})  # control characters; bytes that are no UTF-8


@click.command("package")
@click.argument("case")
@click.option("--to", "to", type=_NEW_FILE, required=True, help="A new file; never overwritten.")
@click.option("--age", "recipient", metavar="RECIPIENT", help="For an age recipient (age1…).")
@click.option("--passphrase-file", "passphrase_file", type=_FILE, help="Passphrase of the ZIP.")
@acting
@json_option
@pass_opening
def package_command(
    opening: Opening,
    *,
    case: str,
    to: Path,
    recipient: str | None,
    passphrase_file: Path | None,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Hand an access package over: an encrypted file for the person. This closes the case.

    Without --age or --passphrase-file a passphrase is made and printed, once. Send it another way
    than the file.
    """
    if recipient is not None and passphrase_file is not None:
        raise usage("give --age or --passphrase-file, not both")
    method = Method.AES_ZIP if recipient is None else Method.AGE
    made = None
    if recipient is None and passphrase_file is None:
        made = new_passphrase()
    secret = recipient or made or _read(passphrase_file)
    target = reachable(to)
    with opening.office() as office:
        job = desk.job_of(office, case, CASES)
        caller = desk.caller(office, actor, key_file)
        signed = caller.sign("hand-over", job.ref)
        done = office.delivery.package(job.ref, target, method, secret, signed)
    told = {"before": _before(done), "method": method.value, "passphrase": made}
    data: dict[str, Any] = {**closed_data(done, caller), **told}
    lines = [*closed_lines(done), *_before_lines(done)]
    if job.facts.get("approval") == AUTOMATIC and (notice := free_text_notice(job.plan or {})):
        note(notice)  # nobody has seen the plan in which it stands
    if made is not None:
        lines.append(f"passphrase: {made}   (shown once; send it another way than the file)")
    show(data, lines, as_json=as_json)


def _before(done: Delivered) -> list[dict[str, Any]]:
    return [asdict(earlier) for earlier in done.before]


def _before_lines(done: Delivered) -> Iterator[str]:
    for earlier in done.before:
        when = f"{earlier.at:%Y-%m-%d %H:%M} UTC"
        yield f"handed over before: {when}, by {earlier.actor}, as {earlier.method}"


def _read(file: Path | None) -> str:
    text = "" if file is None else file.read_text("utf-8").rstrip("\r\n")
    if not text:
        raise usage("the passphrase file is empty")
    return text


def reachable(to: Path) -> Path:
    """The target: its folder is there, and a file can have its name. Raises Fault before anything.

    A name that cannot be printed would be an error after the file has left.
    """
    if any(unicodedata.category(letter) in _NOT_PRINTED for letter in str(to)):
        raise usage("--to has control characters or is not UTF-8 text; choose another name")
    try:
        target = to.expanduser().absolute()
    except RuntimeError:
        raise usage("--to begins with ~ and a user who has no home; write the whole path") from None
    if not target.parent.is_dir():
        raise usage(f"there is no folder {target.parent}; make it, or choose another --to")
    try:
        target.lstat()
    except FileNotFoundError:
        return target
    except OSError as error:
        raise usage(f"no file can be made at --to: {str(error.strerror).lower()}") from None
    return target


class _CaseOrVerb(click.Group):
    """A group whose first word, where it is no command, is a case to hand over."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command called, or the hand-over of a case."""
        if args and args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "CASE", _hand_over, args

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave every option to the command."""
        if not args or args[0] in {"-h", "--help"}:
            return super().parse_args(ctx, args or ["--help"])
        ctx._protected_args, ctx.args = args[:1], args[1:]  # noqa: SLF001 - as click.Group does
        return ctx.args


@click.group("certificate", cls=_CaseOrVerb, subcommand_metavar="CASE --to FILE | verify FILE")
def certificate_command() -> None:
    """Hand the certificate of an erasure over (`dsr certificate CASE --to FILE`), or check one."""


@click.command("certificate")
@click.argument("case")
@click.option(
    "--to", "to", type=_NEW_FILE, required=True, help="A new JSON file; a page beside it."
)
@acting
@json_option
@pass_opening
def _hand_over(
    opening: Opening,
    *,
    case: str,
    to: Path,
    actor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Write the signed certificate and a page to read. This closes the case."""
    target = reachable(to)
    if target.suffix == ".html":
        raise usage("--to names the JSON file, such as certificate.json; the page goes beside it")
    reachable(target.with_suffix(".html"))
    with opening.office() as office:
        job = desk.job_of(office, case, CASES)
        caller = desk.caller(office, actor, key_file)
        done = office.delivery.certificate(job.ref, target, caller.sign("hand-over", job.ref))
    data = {**closed_data(done, caller), "before": _before(done)}
    show(data, [*closed_lines(done), *_before_lines(done)], as_json=as_json)


@certificate_command.command("verify")
@click.argument("file", type=_FILE)
@click.option("--public-key", "public_key", metavar="HEX", help="Whose signature it must bear.")
@json_option
@pass_opening
@click.pass_context
def _verify(
    ctx: click.Context, opening: Opening, *, file: Path, public_key: str | None, as_json: bool
) -> None:
    """Check a certificate: signature, sums, inclusion. Needs no ledger.

    By default it must bear this installation's signature; without a key ring here, only the key it
    names itself, which then has to be compared by another way.
    """
    key, whose = _key(opening, public_key)
    problems = verify_certificate(file.read_bytes(), key)
    data = {"file": str(file), "valid": not problems, "key": whose, "problems": problems}
    lines = problems or [f"{file} holds: its signature is that of {whose}."]
    show(data, lines, as_json=as_json)
    ctx.exit(faults.REFUSED if problems else faults.OK)


def _key(opening: Opening, public_key: str | None) -> tuple[bytes | None, str]:
    if public_key is not None:
        try:
            return bytes.fromhex(public_key), "the key you gave"
        except ValueError:
            raise usage("--public-key is 64 hexadecimal digits") from None
    try:
        return KeyRing.load(opening.read_settings().key_ring_file).public_key, "this installation"
    except KeyRingRefused:
        return None, "the key it names itself (compare it with one you got another way)"
