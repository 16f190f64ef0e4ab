"""Lets a person draw what the floors below do. The library of graphs is not built yet; the floor is kept for it."""
