"""Venues behind one contract. Only `positions.orders` may send; reconciliation and flatten may read."""
