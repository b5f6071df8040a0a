"""Tests of `rzero_cli.data`."""
