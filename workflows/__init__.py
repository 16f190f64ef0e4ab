"""Lets a person draw what the floors below do: saved, versioned graphs (sessions), their executions, and the nodes they are made of."""
