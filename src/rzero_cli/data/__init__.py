"""File input and output: JSONL, journals and resume, locks, shards, provenance and ancestry.

The code here reads and writes files. It knows the keys of a record, but nothing of models or of
what a record means. A file appears complete or not at all.
"""
