"""Tests: each says in one sentence the rule it protects."""
