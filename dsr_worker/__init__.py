"""Answers privacy requests, keeps and deletes data on schedule, runs the clock on breaches."""
