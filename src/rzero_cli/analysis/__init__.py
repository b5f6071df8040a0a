"""Statistics about files and runs: diversity, near-duplicates, comparison, collapse, contamination.

The functions take records, results or a run's folder and return metrics, intervals or warnings.
Nothing here loads a model or prints; the commands do that.
"""
