"""Blobs in memory with the service's conditions and leases, as far as the journal and the lease use them.

`faults` are struck in order of the calls that change something: '' none, 'lost' it is done and its answer is lost,
'gone' it is not done; both are Unavailable to the caller. `wait` is called where a lease is busy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from gates.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Refused(Exception):
    """An answer with a status, as azure-core raises it."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status_code = status


@dataclass
class FakeStorage:
    """Fits backends.azureml.storage.Storage where one container is used."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    leases: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    clock: Callable[[], float] = lambda: 0.0

    def call(self, what: str, do: Callable[[Any], T], *, datastore: str = "") -> T:
        del what, datastore
        return do(self)

    def read(self, path: str) -> bytes | None:
        self.made.append(f"read {path}")
        return self.blobs.get(path)

    def get_blob_client(self, path: str) -> FakeBlob:
        return FakeBlob(self, path)


@dataclass
class FakeBlob:
    """One blob of a FakeStorage."""

    storage: FakeStorage
    path: str

    def _change(self, name: str, effect: Callable[[], None]) -> None:
        self.storage.made.append(f"{name} {self.path}")
        fault = self.storage.faults.pop(0) if self.storage.faults else ""
        if fault != "gone":
            effect()
        if fault:
            raise Unavailable(f"{name}: planted {fault}")

    def _leased(self, lease: Any) -> None:
        held = self.storage.leases.get(self.path)
        if held is not None and held != getattr(lease, "id", None):
            raise Refused(412)

    def create_append_blob(self, *, match_condition: Any) -> None:
        assert match_condition is not None

        def effect() -> None:
            if self.path in self.storage.blobs:
                raise Refused(409)
            self.storage.blobs[self.path] = b""

        self._change("create", effect)

    def append_block(self, data: bytes, *, appendpos_condition: int) -> None:
        def effect() -> None:
            if len(self.storage.blobs[self.path]) != appendpos_condition:
                raise Refused(412)
            self.storage.blobs[self.path] += data

        self._change("append", effect)

    def upload_blob(self, data: bytes, *, overwrite: bool, lease: Any = None) -> None:
        def effect() -> None:
            if not overwrite and self.path in self.storage.blobs:
                raise Refused(409)
            self._leased(lease)
            self.storage.blobs[self.path] = data

        self._change("upload", effect)

    def download_blob(self) -> Any:
        if self.path not in self.storage.blobs:
            raise Refused(404)
        data = self.storage.blobs[self.path]
        return type("Download", (), {"readall": staticmethod(lambda: data)})

    def exists(self) -> bool:
        return self.path in self.storage.blobs

    def acquire_lease(self, *, lease_duration: int, lease_id: str) -> FakeBlobLease:
        assert 15 <= lease_duration <= 60, "the service refuses others"
        if self.storage.leases.get(self.path, lease_id) != lease_id:
            raise Refused(409)
        self._change("hold", lambda: self.storage.leases.update({self.path: lease_id}))
        return FakeBlobLease(self, lease_id)

    def get_blob_properties(self, *, raw_response_hook: Callable[[Any], None]) -> None:
        said = format_datetime(datetime.fromtimestamp(self.storage.clock(), timezone.utc), usegmt=True)
        answer = type("Answer", (), {"headers": {"Date": said}})
        raw_response_hook(type("Seen", (), {"http_response": answer}))


@dataclass
class FakeBlobLease:
    """Held by who acquired it."""

    blob: FakeBlob
    id: str

    def release(self) -> None:
        def effect() -> None:
            if self.blob.storage.leases.get(self.blob.path) != self.id:
                raise Refused(409)
            del self.blob.storage.leases[self.blob.path]

        self.blob._change("let go", effect)
