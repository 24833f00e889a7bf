"""The machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Tells the time of this machine, in UTC."""

    def now(self) -> datetime:
        """Return the present instant."""
        return datetime.fromtimestamp(time.time(), tz=UTC)
