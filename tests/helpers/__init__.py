"""What several tests share: modules that they import and scripts that they run by path."""
