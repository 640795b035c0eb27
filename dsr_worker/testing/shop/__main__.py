"""Load a shop from the shell: `python -m dsr_worker.testing.shop --customers N --dsn … --s3 …`.

In: a size, a seed, and any of the three systems. Out: those systems filled, progress on stderr.
Secrets come from the environment: `SHOP_S3_KEY` and `SHOP_S3_SECRET`; the DSN may name a service.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import boto3

from dsr_worker.testing.shop.configuration import Places, write_configuration
from dsr_worker.testing.shop.generator import Shop
from dsr_worker.testing.shop.load import load_postgres, load_s3, load_zendesk


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the systems that are named; those left out stay untouched."""
    given = _parser().parse_args(argv)
    shop = Shop(given.seed, given.customers, given.customers // 10, given.today)
    if given.dsn:
        load_postgres(shop, given.dsn, progress=_progress("database", len(shop.numbers)))
    if given.s3:
        client = boto3.client(
            "s3",
            endpoint_url=given.s3,
            region_name=given.region,
            aws_access_key_id=os.environ.get("SHOP_S3_KEY"),
            aws_secret_access_key=os.environ.get("SHOP_S3_SECRET"),
        )
        load_s3(shop, client, given.bucket, progress=_progress("bucket", len(shop.numbers)))
    if given.zendesk:
        load_zendesk(shop, given.zendesk, progress=_progress("helpdesk", shop.customers))
    if given.configuration:
        if not (given.s3 and given.zendesk):
            raise SystemExit("--configuration describes all three systems: give --s3 and --zendesk")
        places = Places(s3_endpoint=given.s3, s3_bucket=given.bucket, zendesk_url=given.zendesk)
        write_configuration(given.configuration, places)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dsr_worker.testing.shop")
    parser.add_argument("--customers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--today",
        type=date.fromisoformat,
        default=datetime.now(UTC).date(),
        help="the day from which all dates count back",
    )
    parser.add_argument("--dsn", help="an empty Postgres database")
    parser.add_argument("--s3", help="the endpoint of an S3 API")
    parser.add_argument("--bucket", default="shop", help="an existing, empty bucket")
    parser.add_argument("--region", default="eu-central-1")
    parser.add_argument("--zendesk", help="the address of the helpdesk fake")
    parser.add_argument("--configuration", type=Path, help="also write this configuration folder")
    return parser


def _progress(what: str, of: int) -> Callable[[int], None]:
    started_s = time.monotonic()

    def tell(done: int) -> None:
        spent_s = time.monotonic() - started_s
        sys.stderr.write(f"{what}: {done:,} of {of:,} people, {spent_s:.1f} s\n")

    return tell


if __name__ == "__main__":
    main()
