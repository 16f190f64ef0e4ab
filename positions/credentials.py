"""
API keys at rest: encrypted in the account's row, decrypted only where a request is signed.

Fernet (AES-128-CBC with HMAC-SHA256) of the `cryptography` package, under `CREDENTIALS_KEY`. Several keys, separated by
spaces, allow a change: the first encrypts, all decrypt.

CredentialsError   there are none, or they can't be read with the keys that are set
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


@dataclass(frozen=True)
class Keys:
    """What signs for an account; never in a text or a log."""

    api_key: str
    secret: str
    passphrase: str = ""  # OKX's keys have one besides

    def __repr__(self) -> str:
        return "Keys(…)"


class CredentialsError(Exception):
    """There are none, or they can't be read."""


def seal(keys: Keys) -> bytes:
    """What is kept in the row."""
    return _cipher().encrypt(json.dumps([keys.api_key, keys.secret, keys.passphrase]).encode())


def opened(sealed: bytes | memoryview | None) -> Keys:
    """:raises CredentialsError: if there are none, or another key encrypted them"""
    if not sealed:
        raise CredentialsError("the account has no API key")
    try:
        parts = json.loads(_cipher().decrypt(bytes(sealed)))
    except InvalidToken as error:
        raise CredentialsError("the API key was encrypted under another CREDENTIALS_KEY; enter it again") from error
    return Keys(*parts)  # of before there were passphrases: two


def _cipher() -> MultiFernet:
    """Any text serves as a key: its SHA-256 is the 32 bytes that Fernet needs."""
    keys = settings.CREDENTIALS_KEY.split()
    return MultiFernet([Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())) for key in keys])
