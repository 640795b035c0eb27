"""Shipped for connector authors and for trying things out: contexts, fakes, a shop, conformance tests."""
