"""The admin of the lower floor: browse everything, change what a person may change, and never rewrite evidence."""

from . import activity, analyst, evidence, people, traders, workflows

__all__ = ["activity", "analyst", "evidence", "people", "traders", "workflows"]
