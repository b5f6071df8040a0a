"""Tests of `rzero_cli.method`."""
