"""Tests of the repository: its pages, the structure of the package, code that must not occur."""
