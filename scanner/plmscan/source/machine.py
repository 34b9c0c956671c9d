"""Variables of the environment that keep a machine from the network, told by their names.

Their values are not shown where they may hold a password.
"""

from __future__ import annotations

import os
import ssl
from importlib.util import find_spec

import httpx2

from plmscan.errors import SourceError

__all__ = ["bad_variable", "check_certificates"]

_CERTIFICATES = "SSL_CERT_FILE"
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def check_certificates() -> None:
    """Refuse a file of certificates that is not there or holds none.

    Raises:
        SourceError: ``SSL_CERT_FILE`` names one.
    """
    file = os.environ.get(_CERTIFICATES)
    if not file:
        return
    try:
        ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        reason = "holds no certificate that can be read"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    else:
        return
    msg = f"The variable {_CERTIFICATES} names {file}, which {reason}."
    raise SourceError(msg, "Name a file of certificates in PEM format, or unset the variable.")


def bad_variable() -> SourceError | None:
    """What is wrong with the proxy or the token that the environment names; None if nothing is."""
    for name in _TOKENS:
        if not os.environ.get(name, "").isascii():
            msg = f"The variable {name} holds letters that no token has."
            return SourceError(msg, "Copy the token again, or unset it.")
    for name in _PROXIES:
        value = os.environ.get(name, "")
        if value.startswith("socks") and find_spec("socksio") is None:
            msg = f"The variable {name} names a SOCKS proxy, which needs the package socksio."
            return SourceError(msg, "Install it (`pip install socksio`), or name an HTTP proxy.")
        if value and not _is_proxy(value):
            msg = f"The variable {name} does not name a proxy."
            return SourceError(msg, "Write it as http://host:port, or unset it.")
    return None


def _is_proxy(value: str) -> bool:
    """Whether the HTTP library takes ``value`` for the address of a proxy."""
    try:
        httpx2.Proxy(value if "://" in value else f"http://{value}")
    except (ValueError, httpx2.InvalidURL):
        return False
    return True
