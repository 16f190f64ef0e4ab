"""
A stand-in for Binance spot: same wire format, seeded prices, the desk's own clock.

It shares no parsing or formatting code with `monitoring.feed`, else one mistake would pass on both sides.
"""
