"""Who acts: the user of the operating system who typed the command."""

from __future__ import annotations

import getpass
import os
import socket

WHO_CHARACTERS_MAX = 120


def who() -> str:
    """Who acts, as user@host, for the audit and for keepers."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file names
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:WHO_CHARACTERS_MAX]
