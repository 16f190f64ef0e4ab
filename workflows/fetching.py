"""
JSON from hosts that the installation allows, for graphs that strangers may have drawn.

The name is resolved once, every address it has must be public, and the connection goes to one of those that were looked at:
a name that answers differently a moment later leads nowhere. No redirect is followed.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import urllib3
from django.conf import settings

from workflows.nodes.contract import NodeFailed

TIMEOUT_S, LARGEST = 10.0, 1_000_000


def fetch(url: str) -> Any:
    """
    The JSON that an https address answers.

    :raises NodeFailed: if the host is not allowed or not public, or the answer is no JSON
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or host not in settings.SESSION_HTTP_HOSTS:
        raise NodeFailed(f"{host or url[:60]!r} is not among the hosts that SESSION_HTTP_HOSTS allows")
    address = public_address(host, resolve(host, parts.port or 443))
    pool = urllib3.HTTPSConnectionPool(
        address, parts.port or 443, server_hostname=host, assert_hostname=host, timeout=urllib3.Timeout(total=TIMEOUT_S), retries=False
    )
    with pool:
        return ask(pool, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", host=parts.netloc)


def resolve(host: str, port: int) -> list[str]:
    """
    Every address of a host.

    :raises NodeFailed: if there is none
    """
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise NodeFailed(f"{host} can't be found: {error}", is_shared=True) from error


def public_address(host: str, addresses: Sequence[str]) -> str:
    """
    The first address, if all are public.

    :raises NodeFailed: if one of them is private, local or otherwise not of the public net
    """
    for address in addresses:
        found = ipaddress.ip_address(address.partition("%")[0])
        inner = getattr(found, "ipv4_mapped", None) or found
        if not inner.is_global or inner.is_multicast:
            raise NodeFailed(f"{host} leads to {address}, which is not a public address")
    return addresses[0]


def ask(pool: urllib3.HTTPConnectionPool, path: str, *, host: str) -> Any:
    """:raises NodeFailed: if it does not answer, not with 200, too much, or no JSON"""
    try:
        answer = pool.request("GET", path, headers={"Host": host, "Accept": "application/json"}, redirect=False, preload_content=False)
        with closing(answer):  # an answer that is too long is not read to its end
            body = answer.read(LARGEST + 1)
    except urllib3.exceptions.HTTPError as error:
        raise NodeFailed(f"{host} does not answer: {error}"[:300], is_shared=True) from error
    if answer.status != 200:
        raise NodeFailed(f"{host} answered {answer.status}", is_shared=answer.status >= 500)
    if len(body) > LARGEST:
        raise NodeFailed(f"{host} answered more than {LARGEST} bytes")
    try:
        return json.loads(body)
    except ValueError as error:
        raise NodeFailed(f"{host} did not answer with JSON: {error}"[:300]) from error
