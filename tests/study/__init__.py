"""The study behind docs/evidence.md, run from the root as `python -m tests.study`.

The runner, statistics, tables and pictures, with their tests. The data is in docs/evidence/: the
plan, the collected runs and the pictures.
"""
