"""Small file systems for tests, which fill up quickly or become read-only."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Disk:
    """A tmpfs in a separate mount namespace, which ends with its shell.

    `path` is valid outside the namespace, too.

    Raises:
        OSError: this machine does not allow it; the message has the reason.
    """

    def __init__(self, folder: Path, kilobytes: int) -> None:
        self._folder = folder.absolute()
        self._folder.mkdir()
        reasons = []
        for unshare in (["unshare", "-m"], ["unshare", "-rm"]):  # as root, and as any user
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
        """Make it read-only, also for root."""
        reason = self._mount("-o remount,ro")
        assert not reason, reason

    def close(self) -> None:
        self._shell.communicate()

    def _mount(self, how: str) -> str:
        """Mount; return the error, or ""."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        try:
            print(f"mount {how} '{self._folder}' && echo mounted", file=self._shell.stdin)
            print("echo over", file=self._shell.stdin, flush=True)
        except OSError:  # the shell has ended and printed the reason
            pass
        output = ""
        for line in self._shell.stdout:
            if line == "over\n":
                break
            output += line
        return "" if output == "mounted\n" else " ".join(output.split()) or "nothing was mounted"
