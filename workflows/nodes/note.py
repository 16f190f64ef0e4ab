"""A note for people; it does nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .contract import NodeType, Settings


class Note(Settings):
    """What it says."""

    text: Annotated[str, Field(max_length=4000, json_schema_extra={"format": "textarea"})] = ""


NODE = NodeType("note", "Note", "note", "A note for people", Note)
