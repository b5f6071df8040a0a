"""Tests of `rzero_cli.analysis`."""
