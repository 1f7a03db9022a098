"""Who types a command: what the audit says of a person."""

from __future__ import annotations

import getpass
import os
import socket

WHO_CHARACTERS_MAX = 200


def who() -> str:
    """As user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file names
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:WHO_CHARACTERS_MAX]
