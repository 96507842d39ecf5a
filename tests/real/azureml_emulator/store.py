"""Resources by lower-cased ARM path, in memory and as one file each, so that a new process goes on where one ended."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Resource = dict[str, Any]


class Store:
    """`lock` is held over everything that reads and then writes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self.lock = folder, threading.RLock()
        read = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
        self._all: dict[str, Resource] = {found["id"].lower(): found for found in read}

    def get(self, path: str) -> Resource | None:
        with self.lock:
            found = self._all.get(path.lower())
            return None if found is None else json.loads(json.dumps(found))

    def put(self, resource: Resource) -> Resource:
        """Keep a resource under its `id`."""
        with self.lock:
            text = json.dumps(resource, indent=1)
            self._all[resource["id"].lower()] = json.loads(text)
            place = self._place(resource["id"])
            beside = place.with_suffix(".new")
            beside.write_text(text)
            beside.replace(place)
            return resource

    def change(self, path: str, **properties: Any) -> Resource | None:
        """Set properties of a resource that is still there."""
        with self.lock:
            found = self.get(path)
            if found is not None:
                found["properties"].update(properties)
                self.put(found)
            return found

    def delete(self, path: str) -> bool:
        with self.lock:
            there = self._all.pop(path.lower(), None)
            self._place(path).unlink(missing_ok=True)
            return there is not None

    def below(self, path: str) -> list[Resource]:
        """The resources one segment below `path`, by name."""
        start = f"{path.lower().rstrip('/')}/"
        with self.lock:
            names = [key for key in self._all if key.startswith(start) and "/" not in key[len(start) :]]
            return [json.loads(json.dumps(self._all[key])) for key in sorted(names)]

    def _place(self, path: str) -> Path:
        return self._folder / f"{hashlib.sha256(path.lower().encode()).hexdigest()[:24]}.json"


def stamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() * 1e6) % 1000000:06d}Z"
