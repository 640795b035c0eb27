"""Shipped for connector authors and for trials: contexts, fakes, a shop, conformance tests."""
