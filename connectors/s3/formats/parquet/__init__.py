"""Parquet objects: rows read by column, and taken out page by page with all other bytes kept."""
