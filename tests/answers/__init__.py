"""Tests of `rzero_cli.answers`."""
