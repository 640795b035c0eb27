"""Avro object container files: blocks of records between markers, with their schema in front."""
