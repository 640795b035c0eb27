"""The files that `dsr init` writes, as data."""
