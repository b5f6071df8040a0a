"""The study behind docs/evidence.md, run from the root as `python -m tests.study`.

Its runner, statistics, tables and pictures, and their tests. No data: docs/evidence/ holds the
plan, the collected runs and the pictures.
"""
