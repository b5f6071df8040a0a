"""Small file systems for tests: one that is soon full, one that is read-only."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Disk:
    """A tmpfs in a mount namespace of its own, which goes with the shell that holds it.

    `path` leads there from outside of the namespace, too.

    Raises:
        OSError: this machine lets us make none; says why.
    """

    def __init__(self, folder: Path, kilobytes: int) -> None:
        self._folder = folder.absolute()
        self._folder.mkdir()
        reasons = []
        for unshare in (["unshare", "-m"], ["unshare", "-rm"]):  # as root, and as anybody
            try:
                self._shell = subprocess.Popen(
                    [*unshare, "sh"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            except OSError as error:
                reasons.append(f"{' '.join(unshare)}: {error.strerror}")
                continue
            reason = self._mount(f"-t tmpfs -o size={kilobytes}k tmpfs")
            if not reason:
                self.path = Path(f"/proc/{self._shell.pid}/root{self._folder}")
                return
            self.close()
            reasons.append(f"{' '.join(unshare)}: {reason}")
        raise OSError(f"no file system can be made here: {'; '.join(reasons)}")

    def resize(self, kilobytes: int) -> None:
        reason = self._mount(f"-o remount,size={kilobytes}k")
        assert not reason, reason

    def protect(self) -> None:
        """From now on nothing can be written there, by root neither."""
        reason = self._mount("-o remount,ro")
        assert not reason, reason

    def close(self) -> None:
        self._shell.communicate()

    def _mount(self, how: str) -> str:
        """Mount; gives what was wrong."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        try:
            print(f"mount {how} '{self._folder}' && echo mounted", file=self._shell.stdin)
            print("echo over", file=self._shell.stdin, flush=True)
        except OSError:  # it has ended, and has said why
            pass
        said = ""
        for line in self._shell.stdout:
            if line == "over\n":
                break
            said += line
        return "" if said == "mounted\n" else " ".join(said.split()) or "nothing was mounted"
