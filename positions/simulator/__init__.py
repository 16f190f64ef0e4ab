"""
The simulated exchange's trading side: signed Binance endpoints over books of its own, at the simulated market's prices.

It shares no code with our venues, else one mistake would pass both. Left out: funding, liquidation, hedge mode, and
order books (orders of any size fill at the price of the moment, one tick off).
"""
