"""Rules against independent models."""
