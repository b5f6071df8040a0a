"""Statistics about files and runs: diversity, near-duplicates, comparison, collapse, contamination.

What may live here takes records, results or a run's folder and returns metrics, intervals or
warnings. No model, no terminal: the commands print.
"""
