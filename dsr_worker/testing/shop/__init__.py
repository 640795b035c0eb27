"""An online shop with invented customers, for the demo, the tests and the benchmarks.

Why: claims such as "every row of hers and not one value of anybody else's" need data whose truth is
known. In: a seed, a size, where the three systems are. Out: a Postgres database, a bucket, a
helpdesk, a configuration that describes them, and the truth about every person in them. Special
customers are named on `Shop`; all people, addresses and numbers are invented.
"""

from dsr_worker.testing.shop.configuration import Places, write_configuration
from dsr_worker.testing.shop.generator import Shop
from dsr_worker.testing.shop.load import load_postgres, load_s3, load_zendesk
from dsr_worker.testing.shop.truth import Expected, Made, Place, Truth

__all__ = [
    "Expected",
    "Made",
    "Place",
    "Places",
    "Shop",
    "Truth",
    "load_postgres",
    "load_s3",
    "load_zendesk",
    "write_configuration",
]
