"""
A database belongs to one clock and one source of candles; a process that was started with others refuses.

WrongInstallation   the settings of this process do not fit what the database was begun with
"""

from __future__ import annotations

from django.conf import settings

from monitoring.models import Installation


class WrongInstallation(Exception):
    """The settings of this process do not fit what the database was begun with."""


def claim() -> Installation:
    """
    Bind the database to this process's clock and data source, or check that it is bound to them.

    :raises WrongInstallation: if it is bound to others
    """
    source = settings.MARKETS[settings.MARKET]["rest"]
    found, _ = Installation.objects.get_or_create(
        id=1, defaults={"market_source": source, "clock_epoch": settings.CLOCK_EPOCH, "clock_speed": settings.CLOCK_SPEED}
    )
    ours = (source, settings.CLOCK_SPEED, settings.CLOCK_EPOCH if settings.CLOCK_SPEED != 1 else found.clock_epoch)
    theirs = (found.market_source, found.clock_speed, found.clock_epoch)
    if ours != theirs:
        raise WrongInstallation(
            f"this database was begun with market data from {theirs[0]}, clock speed {theirs[1]:f} and epoch {theirs[2]:f};"
            f" this process has {ours[0]}, {ours[1]:f} and {ours[2]:f}. Use another database (DATABASE_URL or DATA_DIR) for another source."
        )
    return found
