"""
The types of nodes. Each is one module here that holds a `NODE`; adding a type is adding a module.

None of them reaches an exchange: a trade only ever comes from a signal, its workflow and the risk gate.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from .contract import NodeType

SHARED = ("contract", "fields")

_modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__) if module.name not in SHARED)
NODE_TYPES: dict[str, NodeType] = {module.NODE.name: module.NODE for module in _modules}
