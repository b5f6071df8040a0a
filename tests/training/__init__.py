"""Tests of `rzero_cli.training`."""
