"""The lease on an endpoint: a small blob that says owner, epoch and expiry, written under a real blob lease.

Who holds it and until when stands in the blob, so that a successor sees whom it follows and raises the epoch; the blob
lease makes reading and writing it one step and keeps every other tool out. Times are the storage account's: a runner's
clock that is wrong is corrected by the difference to the `Date` of Azure's answers. Every mutation of the endpoint asks
`fence` first, since an endpoint has no If-Match.
"""

from __future__ import annotations

import json
import time
import uuid
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from gates.backends.azureml.calls import is_absent, status_of
from gates.backends.azureml.storage import ROOT
from gates.errors import Conflict, StateUnknown
from gates.serving import Lease

if TYPE_CHECKING:
    from gates.backends.azureml.storage import Storage

_HELD = 15
"""Seconds of the blob lease: the shortest that Azure gives; it is given back at once."""
_TRIES = 25
"""At most a second apart: longer than a blob lease lasts, whose owner died with it."""


class EndpointLease:
    """The lease of one endpoint. `what`: endpoints or models, and the name."""

    def __init__(self, storage: Storage, what: str) -> None:
        self._storage = storage
        self.path = f"{ROOT}/{what}/lease.json"
        self._highest = 0
        self._made = False
        self._skew: float | None = None

    def acquire(self, owner: str, *, seconds: float, now: float) -> Lease:
        """Take or renew. Raises Conflict while another live owner has it. See rollout.port.Endpoint.acquire."""
        return self._storage.call(f"the lease {self.path}", lambda c: self._acquire(c, owner, seconds, now))

    def release(self, lease: Lease) -> None:
        """Give it back; one that is no longer ours: no effect."""
        self._storage.call(f"the lease {self.path}", lambda c: self._release(c, lease))

    def fence(self, epoch: int) -> None:
        """Raises Conflict when somebody took the lease with a higher epoch."""
        found = _parse(self._storage.read(self.path), self.path)
        self._highest = max(self._highest, int(found["epoch"]))
        if epoch < self._highest:
            raise Conflict(
                f"fenced off: epoch {epoch} is over, {found['owner'] or 'another runner'} has {self._highest}",
                hint="look at that runner; this one touches nothing more",
            )

    def _acquire(self, container: Any, owner: str, seconds: float, now: float) -> Lease:
        blob = container.get_blob_client(self.path)
        self._exists(blob)
        held = _hold(blob)
        try:
            found, skew = _parse(_content(blob), self.path), self._clock_skew(blob)
            at = now + skew
            other = found["owner"] not in ("", owner)
            if other and at < float(found["expires"]):
                left = float(found["expires"]) - at
                raise Conflict(
                    f"{self.path.split('/')[-2]} is held by {found['owner']} for another {left:.0f} s",
                    hint="wait for that runner, or let the lease run out",
                )
            same = found["owner"] == owner
            lease = Lease(owner, int(found["epoch"]) + (not same), now + seconds)
            _write(blob, {"owner": owner, "epoch": lease.epoch, "expires": at + seconds}, held)
            return lease
        finally:
            _let_go(held)

    def _release(self, container: Any, lease: Lease) -> None:
        blob = container.get_blob_client(self.path)
        if not blob.exists():
            return
        held = _hold(blob)
        try:
            found = _parse(_content(blob), self.path)
            if (found["owner"], int(found["epoch"])) == (lease.owner, lease.epoch):
                _write(blob, {"owner": "", "epoch": lease.epoch, "expires": 0.0}, held)
        finally:
            _let_go(held)

    def _exists(self, blob: Any) -> None:
        if self._made:
            return
        try:
            blob.upload_blob(_text({"owner": "", "epoch": 0, "expires": 0.0}), overwrite=False)
        except Exception as error:
            if status_of(error) not in (409, 412):
                raise
        self._made = True

    def _clock_skew(self, blob: Any) -> float:
        """Seconds that the storage account is ahead of this machine; less than two count as none."""
        if self._skew is None:
            seen: dict[str, str] = {}
            blob.get_blob_properties(raw_response_hook=lambda answer: seen.update(answer.http_response.headers))
            said = next((value for key, value in seen.items() if key.lower() == "date"), "")
            ahead = parsedate_to_datetime(said).timestamp() - time.time() if said else 0.0
            self._skew = ahead if abs(ahead) >= 2 else 0.0
        return self._skew


def _hold(blob: Any) -> Any:
    """A blob lease, for the moment that reading and writing takes. Raises Conflict when others are too many."""
    identity = str(uuid.uuid4())
    for attempt in range(_TRIES):
        try:
            return blob.acquire_lease(lease_duration=_HELD, lease_id=identity)
        except Exception as error:
            if status_of(error) not in (409, 412) or attempt == _TRIES - 1:
                raise
        time.sleep(0.1 * min(attempt + 1, 10))
    raise AssertionError("the last attempt raises")


def _let_go(held: Any) -> None:
    """Give a blob lease back; one that ran out meanwhile is nobody's any more."""
    try:
        held.release()
    except Exception as error:
        if status_of(error) not in (404, 409, 412):
            raise


def _content(blob: Any) -> bytes | None:
    try:
        return bytes(blob.download_blob().readall())
    except Exception as error:
        if is_absent(error):
            return None
        raise


def _write(blob: Any, value: dict[str, Any], held: Any) -> None:
    blob.upload_blob(_text(value), overwrite=True, lease=held)


def _text(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _parse(data: bytes | None, path: str) -> dict[str, Any]:
    """Fail closed: a lease that cannot be read is nobody's to take."""
    if data is None:
        return {"owner": "", "epoch": 0, "expires": 0.0}
    try:
        found = json.loads(data)
        return {"owner": str(found["owner"]), "epoch": int(found["epoch"]), "expires": float(found["expires"])}
    except (ValueError, KeyError, TypeError) as error:
        raise StateUnknown(f"the lease {path} cannot be read: {error}", hint="look at the blob, and mend it") from error
