"""Until those who import it by this name do so from `helpers`."""

from helpers.live_processes import alive, children

__all__ = ["alive", "children"]
