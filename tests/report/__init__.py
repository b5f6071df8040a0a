"""Tests of `rzero_cli.report`."""
