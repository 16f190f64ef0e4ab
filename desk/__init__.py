"""Shows the desk and steers it: pages, the live feed, the API, and the command that runs everything."""
