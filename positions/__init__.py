"""Knows how to trade: accounts, positions, orders, risk, and the workflow that manages a position until it is flat."""
