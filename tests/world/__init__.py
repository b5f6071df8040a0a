"""Tests of `rzero_cli.world`."""
