"""Tests of `rzero_cli.evaluation`."""
