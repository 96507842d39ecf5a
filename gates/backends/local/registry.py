"""The model registry of the local backend: MLflow's, on the SQLite file or on a server of the user's.

Over SQLite a version's bytes are our own copy under the state folder, made whole before the version exists, so that a
run's folder may go. A version carries its digest as a tag; the same digest is registered once. `fetch` hands out bytes
that have that digest, or nothing. Importing mlflow takes about four seconds, so it is imported at the first question.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from gates.backends.local import database
from gates.backends.local.tracking import database_path
from gates.errors import Conflict, InvalidInput, Refused, Unavailable
from gates.lineage import digest as digests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

EXPERIMENT = "mlops-gates"
EVENTS = "events"
EVENTS_TAG = "gates.audit"
ARCHIVED = "gates.archived"
DIGEST_TAG = "gates.model_digest"
META_FILE = "registered_model_meta"
"""What MLflow adds to a download of `models:/…`; it is not part of the model."""
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")


@dataclass(frozen=True)
class ModelVersion:
    """A registered model. version: digits; digest: `sha256:…`, or '' where somebody else registered it."""

    name: str
    version: str
    digest: str
    source: str
    run_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def archived(self) -> bool:
        return self.tags.get(ARCHIVED) == "true"

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"


class Registry:
    """A registry at `uri`: `sqlite:///PATH` or http(s). `state_dir` keeps the bytes and the lock."""

    def __init__(self, uri: str, *, state_dir: Path) -> None:
        self.uri = uri
        self._state = state_dir.absolute()
        self.remote = uri.startswith(("http://", "https://"))
        if not self.remote:
            database_path(uri).parent.mkdir(parents=True, exist_ok=True)
        self._made: Any = None

    def find(self, name: str, alias: str) -> ModelVersion | None:
        """The version that the alias points to; None when the model or the alias is not there."""
        version = self._aliases(name).get(alias)
        return None if version is None else self.get(name, version)

    def get(self, name: str, version: str) -> ModelVersion | None:
        if not version.isdigit():
            raise InvalidInput(f"model version {version!r} is not a number")
        with _errors():
            try:
                return self._value(self._client().get_model_version(_named(name), version))
            except Exception as error:
                if _absent(error):
                    return None
                raise

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Every version that is not archived, oldest first."""
        found: list[Any] = []
        token = None
        with _errors():
            while True:
                page = self._client().search_model_versions(f"name='{_named(name)}'", page_token=token)
                found += page
                token = page.token
                if not token:
                    break
        aliases = self._aliases(name)
        values = [self._value(item, aliases) for item in found if item.tags.get(ARCHIVED) != "true"]
        return tuple(sorted(values, key=lambda value: int(value.version)))

    def by_digest(self, name: str, digest: str) -> ModelVersion | None:
        """The newest version with these bytes."""
        matching = [version for version in self.versions(name) if version.digest == digest]
        return matching[-1] if matching else None

    def register(
        self, name: str, model_dir: Path, *, run_id: str | None = None, tags: Mapping[str, str] | None = None
    ) -> tuple[ModelVersion, bool]:
        """The version with the bytes of `model_dir`, and whether it is new. Registering the same bytes again: not."""
        digest = digests.model_digest(model_dir)
        with self._locked(), _errors():
            there = self.by_digest(name, digest)
            if there is not None:
                return there, False
            if self.remote:
                source, run_id = self._upload(name, model_dir, digest, run_id)
            else:
                source = self._keep(name, model_dir, digest)
            client = self._client()
            if not self._exists(name):
                client.create_registered_model(name)
            made = client.create_model_version(name, source, run_id=run_id, tags={**(tags or {}), DIGEST_TAG: digest})
            return self._value(made), True

    def set_alias(self, name: str, alias: str, version: str | None, *, expected: str | None) -> None:
        """Point the alias at `version` (None: nowhere), if it points at `expected` now; else Conflict.

        Atomic among processes that share the state folder. A server has no compare-and-set: there the alias is read
        before and after.
        """
        with self._locked(), _errors():
            current = self._aliases(name).get(alias)
            if current == version:
                return
            if current != expected:
                raise Conflict(
                    f"alias {alias!r} of {name} points at {current or 'nothing'}, not at {expected or 'nothing'}",
                    hint="somebody else moved it; gate again against the version that serves now",
                )
            if version is None:
                self._client().delete_registered_model_alias(name, alias)
            elif self.get(name, version) is None:
                raise InvalidInput(f"{name} has no version {version}")
            else:
                self._client().set_registered_model_alias(name, alias, version)
            now = self._aliases(name).get(alias)
            if now != version:
                raise Conflict(f"alias {alias!r} of {name} points at {now or 'nothing'} after it was set to {version}")

    def set_tags(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Set these tags on the version; others stay. The digest is not a tag to set."""
        if DIGEST_TAG in tags:
            raise InvalidInput(f"tag {DIGEST_TAG} is set by register alone")
        with _errors():
            for key, value in tags.items():
                self._client().set_model_version_tag(version.name, version.version, key, value)

    def archive(self, version: ModelVersion, *, purge: bool) -> None:
        """Hide the version from lists; purge: delete our copy of its bytes, unless another version has the same."""
        if purge and self.remote:
            raise InvalidInput(
                "--purge: the bytes are on the MLflow server", hint="leave it out, and delete them there"
            )
        self.set_tags(version, {ARCHIVED: "true"})
        if purge and version.digest and self.by_digest(version.name, version.digest) is None:
            home = self._state / "models" / version.name / digests.hexdigest(version.digest)
            if home.exists():
                shutil.rmtree(home)

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """Put the version's bytes into the new folder `into`. Refused when they are not what was registered."""
        if into.exists() and any(into.iterdir()):
            raise InvalidInput("is not empty", hint="name a new folder", file=into)
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{into.name}.") as folder:
            got = self._download(version, Path(folder))
            if version.digest and _digest_of(got, version) != version.digest and (got / META_FILE).is_file():
                (got / META_FILE).unlink()
            if version.digest and _digest_of(got, version) != version.digest:
                raise Refused(
                    f"the bytes of {version.uri} are not those that were registered ({version.digest})",
                    hint=f"look at who changed {version.source}, and register the model again",
                )
            if into.exists():
                into.rmdir()
            got.replace(into)
        return into

    def keep_beside(self, version: ModelVersion, what: str, folder: Path) -> None:
        """Log the files of `folder` as artefacts `what`/ beside the model's, in the same run."""
        inside = version.source.rpartition("/artifacts/")[2].rpartition("/")[0]
        with _errors():
            self._client().log_artifacts(version.run_id, str(folder), f"{inside}/{what}".lstrip("/"))

    def fetch_beside(self, version: ModelVersion, what: str, into: Path) -> Path | None:
        """The folder below `into` that holds these artefacts; None where there are none."""
        inside = version.source.rpartition("/artifacts/")[2].rpartition("/")[0]
        with _errors():
            client = self._client()
            if not version.run_id or not client.list_artifacts(version.run_id, f"{inside}/{what}".lstrip("/")):
                return None
            return Path(client.download_artifacts(version.run_id, f"{inside}/{what}".lstrip("/"), str(into)))

    def keep_events(self, folder: Path) -> None:
        """Log the files of `folder` as artefacts of the run that holds the audit events of all machines."""
        with _errors():
            client = self._client()
            runs = self._event_runs(client) or [self._new_event_run(client)]
            client.log_artifacts(runs[0], str(folder), EVENTS)

    def fetch_events(self, into: Path) -> None:
        """Download the artefacts that `into` lacks. Two machines may have made the run at once: all are read."""
        with _errors():
            client = self._client()
            for run in self._event_runs(client):
                for item in client.list_artifacts(run, EVENTS):
                    name = item.path.rpartition("/")[2]
                    if name.endswith(".json") and not (into / name).exists():
                        with tempfile.TemporaryDirectory(dir=into) as beside:
                            Path(client.download_artifacts(run, item.path, beside)).replace(into / name)

    def _event_runs(self, client: Any) -> list[str]:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return []
        found = client.search_runs(
            [experiment.experiment_id], f"tags.`{EVENTS_TAG}` = '1'", order_by=["start_time ASC"]
        )
        return [run.info.run_id for run in found]

    def _new_event_run(self, client: Any) -> str:
        try:
            client.create_experiment(EXPERIMENT)
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
        home = client.get_experiment_by_name(EXPERIMENT)
        run = client.create_run(home.experiment_id, run_name="audit events", tags={EVENTS_TAG: "1"})
        client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    # What follows talks to MLflow and to the disk.

    def _client(self) -> Any:
        if self._made is None:
            os.environ.update(_QUIET)  # mlflow reads them when imported, and has no other way to be told
            for noisy in ("alembic", "mlflow"):
                logging.getLogger(noisy).setLevel(logging.WARNING)
            try:
                from mlflow import MlflowClient
            except ImportError as error:
                raise Unavailable(f"mlflow is needed: {error}", hint="install mlops-gates[local]") from error
            if not self.remote:
                database.make(database_path(self.uri))
            self._made = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        return self._made

    def _exists(self, name: str) -> bool:
        try:
            self._client().get_registered_model(_named(name))
        except Exception as error:
            if _absent(error):
                return False
            raise
        return True

    def _aliases(self, name: str) -> dict[str, str]:
        with _errors():
            try:
                found = self._client().get_registered_model(_named(name)).aliases
            except Exception as error:
                if _absent(error):
                    return {}
                raise
        return {str(alias): str(version) for alias, version in dict(found).items()}

    def _value(self, found: Any, aliases: Mapping[str, str] | None = None) -> ModelVersion:
        version = str(found.version)
        names: Sequence[str] = (
            [alias for alias, at in aliases.items() if at == version] if aliases is not None else list(found.aliases)
        )
        return ModelVersion(
            name=found.name,
            version=version,
            digest=str(found.tags.get(DIGEST_TAG, "")),
            source=str(found.source),
            run_id=found.run_id or "",
            tags=dict(found.tags),
            aliases=tuple(sorted(names)),
        )

    def _keep(self, name: str, model_dir: Path, digest: str) -> str:
        """Our own copy of the bytes; its URI. A copy that is there is checked, and made again when it is bad."""
        home = self._state / "models" / name / digests.hexdigest(digest)
        if home.exists() and _digest_or_none(home) != digest:
            shutil.rmtree(home)
        if not home.exists():
            home.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=home.parent, prefix=".copy-") as folder:
                copy = Path(folder) / "model"
                shutil.copytree(model_dir, copy)
                if digests.model_digest(copy) != digest:
                    raise Refused("the model changed while it was registered", hint="register it again", file=model_dir)
                copy.replace(home)
        return home.as_uri()

    def _upload(self, name: str, model_dir: Path, digest: str, run_id: str | None) -> tuple[str, str]:
        """Log the bytes as artefacts of the run (a new one where there is none); their URI and the run."""
        client = self._client()
        run = client.get_run(run_id) if run_id else client.create_run("0", run_name=f"register {name}")
        inside = f"gates/{digests.hexdigest(digest)[:16]}/model"
        client.log_artifacts(run.info.run_id, str(model_dir), inside)
        if not run_id:
            client.set_terminated(run.info.run_id)
        return f"{run.info.artifact_uri.rstrip('/')}/{inside}", str(run.info.run_id)

    def _download(self, version: ModelVersion, folder: Path) -> Path:
        source = version.source
        parts = urlsplit(source)
        local: Path | None = None
        if parts.scheme in ("", "file"):
            local = Path(unquote(parts.path))
        elif parts.scheme == "mlflow-artifacts" and not self.remote:
            local = self._state / "artifacts" / unquote(parts.path).lstrip("/")
        if local is not None:
            if not local.is_dir():
                raise Unavailable(f"the bytes of {version.uri} are gone", hint="register the model again", file=local)
            shutil.copytree(local, folder / "model", symlinks=True)
            return folder / "model"
        with _errors():
            from mlflow.artifacts import download_artifacts

            self._client()
            return Path(download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=self.uri))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time among processes that share the state folder."""
        self._state.mkdir(parents=True, exist_ok=True)
        with (self._state / "registry.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _named(name: str) -> str:
    if not _NAME.match(name):
        raise InvalidInput(
            f"model name {name!r} is not usable",
            hint="letters, digits, '.', '_' and '-', at most 255, in the key model",
        )
    return name


def _digest_or_none(folder: Path) -> str | None:
    try:
        return digests.model_digest(folder)
    except (InvalidInput, Unavailable):
        return None


def _digest_of(folder: Path, version: ModelVersion) -> str:
    """The digest of the version's bytes, fetched into `folder`. What has none was put there: Refused."""
    try:
        return digests.model_digest(folder)
    except InvalidInput as error:
        file = f"{version.source}{(error.file or '').removeprefix(str(folder))}"
        raise Refused(error.what, hint="remove it, or register the model again", file=file) from error


def _absent(error: Exception) -> bool:
    return getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """MLflow's errors as ours."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("mlflow.", "sqlalchemy.", "requests.", "alembic.")):
            raise
        what = " ".join(str(error).split())[:500]
        if getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
            raise InvalidInput(f"the model registry refused: {what}") from error
        raise Unavailable(f"the model registry cannot be had: {what}", hint="check tracking_uri") from error
