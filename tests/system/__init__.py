"""Tests of `rzero_cli.system`."""
