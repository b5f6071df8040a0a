"""Modules that several tests import and scripts that they run by path."""
