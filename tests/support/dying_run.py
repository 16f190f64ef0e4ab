"""`python -m tests.support.dying_run DATABASE EXECUTION NODE`: a worker that gets stuck in a node, to be killed there."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID


def main(database: str, execution_id: str, stuck_in: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.db import connection

    django.setup()
    connection.settings_dict["NAME"] = database
    from workflows import execute, graph

    execute.LEASE = timedelta(seconds=2)
    parse = graph.parse

    def stuck(*_: Any) -> Any:
        print("reached", flush=True)  # noqa: T201 - the test waits for it
        threading.Event().wait()

    def parsed(nodes: Any, edges: Any) -> graph.Graph:
        found = parse(nodes, edges)
        changed = (replace(node, type=replace(node.type, run=stuck)) if node.id == stuck_in else node for node in found.nodes)
        return replace(found, nodes=tuple(changed))

    graph.parse = parsed
    execute.execute(UUID(execution_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
