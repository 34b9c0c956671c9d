"""How huggingface_hub is made to behave: silent, patient for seconds, and its errors as sentences.

Its settings are process-wide, so `hub_session` changes them for the time of one resolve and puts
them back; two threads should not resolve Hub models at the same time.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, NoReturn

import httpx2
from huggingface_hub import constants, get_token, set_client_factory
from huggingface_hub import errors as hub
from huggingface_hub.utils import _http
from huggingface_hub.utils import logging as hub_logging

from plmscan.errors import (
    AccessDeniedError,
    HubBusyError,
    HubUnreachableError,
    ModelNotFoundError,
    PlmscanError,
    RevisionNotFoundError,
    SourceError,
)
from plmscan.source.machine import bad_variable, check_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["HubModel", "HubSession", "hub_session"]

_ATTEMPTS = 2
"""How often one request is sent: huggingface_hub's own six take half a minute to fail."""
_NAME_CERTIFICATES = (
    "Behind a proxy that opens connections, name its certificates in SSL_CERT_FILE."
)
_LONGEST_WAIT = 3600.0
"""Seconds that a server may ask for."""
_LARGEST_ANSWER = 2**26
"""Bytes of one answer of the API; a page of a listing has a hundred times less."""
_MOST_PAGES = 500
"""Pages of one listing."""
_API = "/api/"
_CHECK_NETWORK = "Check the network and HF_ENDPOINT; --offline scans the copy in the cache, if any."


_CHECK_ENDPOINT = "Check HF_ENDPOINT and the proxies between here and there."


@dataclass(frozen=True)
class HubModel:
    """Which model is asked for, and where."""

    id: str
    """Name on the Hub: ``org/name``."""
    revision: str | None
    """What the user asked for; None for the default branch."""
    endpoint: str
    """Address of the Hub."""
    cache: Path
    """Folder of the cache."""
    offline: bool
    """Whether nobody may be asked."""


@dataclass(frozen=True)
class HubSession:
    """Calls of huggingface_hub about one model."""

    model: HubModel
    """Which model."""
    sent: Counter[tuple[str, str, str | None]] = field(default_factory=Counter)
    """How often each request was sent in the running call: method, address, range."""

    @contextmanager
    def call(self) -> Iterator[None]:
        """Turn whatever huggingface_hub raises in the block into one of plmscan's errors."""
        self.sent.clear()
        try:
            yield
        except PlmscanError:
            raise
        except Exception as error:
            raise _sentence(error, self.model) from error

    def refuse(self, detail: str) -> NoReturn:
        """Take nothing more from a server that is no Hub.

        Raises:
            HubUnreachableError: always.
        """
        raise _no_hub(self.model, detail)


@contextmanager
def hub_session(model: HubModel) -> Iterator[HubSession]:
    """Silence huggingface_hub and limit its retries while the block runs."""
    if not model.offline:
        check_certificates()
    session = HubSession(model)
    factory = _http._GLOBAL_CLIENT_FACTORY  # noqa: SLF001 - the setter has no getter
    verbosity, telemetry = hub_logging.get_verbosity(), constants.HF_HUB_DISABLE_TELEMETRY
    hub_logging.set_verbosity(logging.CRITICAL)
    constants.HF_HUB_DISABLE_TELEMETRY = True
    set_client_factory(lambda: _limited(factory(), session.sent))
    try:
        yield session
    finally:
        set_client_factory(factory)
        constants.HF_HUB_DISABLE_TELEMETRY = telemetry
        hub_logging.set_verbosity(verbosity)


def _limited(client: httpx2.Client, sent: Counter[tuple[str, str, str | None]]) -> httpx2.Client:
    """The client, with a timeout on every request and few repetitions of one."""
    lock = Lock()
    timeout = dict.fromkeys(
        ("connect", "read", "write", "pool"), float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
    )

    def before(request: httpx2.Request) -> None:
        # a resumed download asks for another range: as long as it advances, it may go on
        key = (request.method, str(request.url), request.headers.get("range"))
        with lock:
            sent[key] += 1
            pages = sum("/tree/" in url for _, url, _ in sent)
        if _API in request.url.path:
            request.headers["Accept-Encoding"] = "identity"
            if pages > _MOST_PAGES:
                msg = f"{request.url.host} lists files without end."
                raise HubUnreachableError(msg, _CHECK_ENDPOINT)
        if sent[key] > _ATTEMPTS:
            msg = f"{request.url.host} failed twice to deliver {request.url.path}."
            raise HubUnreachableError(msg, _CHECK_NETWORK)
        if not any((request.extensions.get("timeout") or {}).values()):
            request.extensions["timeout"] = timeout

    def after(response: httpx2.Response) -> None:
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            msg = f"{response.url.host} answers that there were too many requests (429)."
            remedy = "Wait some minutes, or set HF_TOKEN for a higher limit."
            raise HubBusyError(msg, remedy, _asked_to_wait(response.headers))
        if _API in response.request.url.path:
            _bound(response)

    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], before],
        "response": [*hooks["response"], after],
    }
    return client


def _bound(response: httpx2.Response) -> None:
    """Let the answer end the call when it is longer than any of the Hub's.

    Raises:
        HubUnreachableError: it is packed, so that nobody knows how long it is.
    """
    host = response.url.host
    if response.headers.get("content-encoding", "identity") != "identity":
        msg = f"{host} answers in a packed form that was not asked for."
        raise HubUnreachableError(msg, _CHECK_ENDPOINT)
    if isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _Bounded(response.stream, host)


class _Bounded(httpx2.SyncByteStream):
    """The body of an answer, up to a size that no answer of the Hub has."""

    def __init__(self, inner: httpx2.SyncByteStream, host: str) -> None:
        """The body ``inner`` of an answer of ``host``."""
        self._inner = inner
        self._host = host

    def __iter__(self) -> Iterator[bytes]:
        """The parts of the body."""
        left = _LARGEST_ANSWER
        for chunk in self._inner:
            left -= len(chunk)
            if left < 0:
                msg = f"{self._host} answers at greater length than any Hub."
                raise HubUnreachableError(msg, _CHECK_ENDPOINT)
            yield chunk

    def close(self) -> None:
        """Read no more."""
        self._inner.close()


def _sentence(error: BaseException, model: HubModel) -> PlmscanError:
    """The error as a sentence about ``model``."""
    return _refusal(error, model) or _absence(error, model) or _failure(error, model)


def _refusal(error: BaseException, model: HubModel) -> PlmscanError | None:
    """The Hub answered that this cannot be had."""
    name = model.id
    match error:
        case hub.GatedRepoError():
            msg = f"{name} is gated, and the Hub does not open it to {_visitor()}."
            return AccessDeniedError(msg, "Ask for access on its page, and set HF_TOKEN.")
        case hub.RevisionNotFoundError():
            msg = f"{name} has no revision {model.revision or 'main'}."
            return RevisionNotFoundError(msg, "Name a branch, a tag or a commit.")
        case hub.RepositoryNotFoundError():
            msg = f"There is no folder {name}, and the Hub shows no model {name} to {_visitor()}."
            return ModelNotFoundError(msg, "Check the name; a private model needs HF_TOKEN.")
        case hub.HFValidationError():
            msg = f"{name!r} is neither a folder nor a name on the Hub."
            return ModelNotFoundError(msg, "Name a folder, or a Hub model as org/name.")
        case _:
            return None


def _absence(error: BaseException, model: HubModel) -> PlmscanError | None:
    """The cache does not hold it; where the Hub was asked too, the cause tells what happened."""
    match error:
        case hub.LocalEntryNotFoundError() | hub.RevisionResolutionError():
            cause = error.__cause__
            return _sentence(cause, model) if cause is not None else _not_cached(model)
        case hub.CachedRepoTreeNotFoundError() | hub.OfflineModeIsEnabled():
            return _not_cached(model)
        case _:
            return None


def _failure(error: BaseException, model: HubModel) -> PlmscanError:
    """The network, the disk or the server does not do its part."""
    match error:
        case hub.HfHubHTTPError():
            return _bad_status(error.response, model)
        case ImportError() | ValueError() | httpx2.InvalidURL() if told := bad_variable():
            return told
        case httpx2.HTTPError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            msg = f"The certificate of {model.endpoint} is not to be trusted ({error})."
            return HubUnreachableError(msg, _NAME_CERTIFICATES)
        case httpx2.HTTPError() | httpx2.InvalidURL():
            reason = str(error) or type(error).__name__
            nowhere = f"There is no folder {model.id}, and the Hub"
            msg = f"{nowhere} at {model.endpoint} cannot be reached ({reason})."
            return HubUnreachableError(msg, _CHECK_NETWORK)
        case OSError(errno=int(), strerror=str(reason)):
            place = error.filename or model.cache
            msg = f"{place} cannot be used: {reason}."
            return SourceError(msg, "Check it, or name another cache with --cache-dir.")
        case _:
            return _no_hub(model, str(error).partition("\n")[0] or type(error).__name__)


def _visitor() -> str:
    """Who the Hub thinks we are."""
    return "the token in use" if get_token() else "visitors without a token"


def _not_cached(model: HubModel) -> PlmscanError:
    """The cache alone does not do."""
    at = f" at {model.revision}" if model.revision else ""
    why = "plmscan is offline" if model.offline else "the Hub cannot be reached"
    msg = f"The cache {model.cache} does not hold all files of {model.id}{at}, and {why}."
    return HubUnreachableError(msg, "Fetch the model once with the network, or name its folder.")


def _bad_status(response: httpx2.Response, model: HubModel) -> PlmscanError:
    """The Hub answered with an HTTP status that stands for itself."""
    status = response.status_code
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        msg = f"The Hub refuses {model.id} to {_visitor()} ({status})."
        return AccessDeniedError(msg, "Check that HF_TOKEN is valid and may read the model.")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        msg = f"The Hub at {model.endpoint} is out of order ({status})."
        return HubBusyError(msg, "Try again later.", _asked_to_wait(response.headers))
    return _no_hub(model, f"status {status}")


def _asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds after which a server wants to be asked again; None if it does not say.

    RFC 9110, section 10.2.3: a number of seconds, or a date.
    """
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit():
        return min(float(told), _LONGEST_WAIT)
    try:
        then = parsedate_to_datetime(told)
    except ValueError:
        return None
    return min(max((then - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_WAIT)


def _no_hub(model: HubModel, detail: str) -> PlmscanError:
    """Somebody answered, and not as the Hub does."""
    msg = f"{model.endpoint} does not answer like a Hub about {model.id} ({detail[:200]})."
    return HubUnreachableError(msg, _CHECK_ENDPOINT)
