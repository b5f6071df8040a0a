"""Files in and out: JSONL, journals and resume, locks, shards, provenance and ancestry.

What may live here reads or writes a file and knows nothing of models or of what a record means
beyond its keys. A file appears whole or not at all.
"""
