"""Answers privacy requests, keeps and deletes customer data on schedule, runs the clock on breaches."""
