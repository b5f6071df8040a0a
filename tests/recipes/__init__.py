"""Tests of `rzero_cli.recipes`."""
