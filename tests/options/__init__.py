"""Tests of `rzero_cli.options`."""
