"""Tests of `rzero_cli.engines`."""
