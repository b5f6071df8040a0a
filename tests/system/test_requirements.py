"""Installed packages, compared with rzero's bounds."""

from __future__ import annotations

from importlib.metadata import version

from rzero_cli.system.requirements import packages


def test_packages_are_compared_with_their_bounds() -> None:
    given = [
        f"typer<{version('typer')}",
        "rich>=1",
        'no-such-package>=2; extra == "train"',
        'typer>=0.1; extra == "dev"',
        'rzero-cli[train]; extra == "eval"',
        'tomli; python_version < "3"',
    ]
    found = packages(("train", "eval"), given)
    assert [(p.name, p.extra, p.fits) for p in found] == [
        ("typer", "", False),
        ("rich", "", True),
        ("no-such-package", "train", None),
    ]
    assert found[2].installed is None


def test_prereleases_and_local_builds_are_within_bounds() -> None:
    (package,) = packages((), ["typer>=0.1"])
    assert package._replace(bounds=">=2.13,<2.14", installed="2.13.0+cpu").fits
    assert package._replace(bounds=">=2.13,<2.14", installed="2.13.1rc1").fits
    assert not package._replace(bounds=">=2.13,<2.14", installed="2.14.0").fits
