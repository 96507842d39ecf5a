"""The local backend: jobs as processes, MLflow on SQLite (or a server of the user's), model servers on loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.backends import EndpointFiles, ModelVersion, RanThere, TrainedRun
from gates.backends.local import jobs, tracking
from gates.backends.local.registry import Registry
from gates.chain import Chain
from gates.errors import InvalidInput, Unavailable
from gates.files import write_whole
from gates.lineage.digest import hexdigest
from gates.runtime.environments import find_user_python

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gates.backends.local import registry

LINEAGE = "lineage"


class LocalBackend:
    """Everything under one state folder; fits backends.Backend."""

    name = "local"

    def __init__(
        self,
        state_dir: Path,
        tracking_uri: str,
        python: str | None,
        env: Mapping[str, str],
        say: Callable[[str], None],
        mask: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._state, self._uri, self._env, self._say = state_dir, tracking_uri, env, say
        self._python, self._mask = python, mask
        self._registry = Registry(tracking_uri, state_dir=state_dir)

    @property
    def python(self) -> Path:
        return find_user_python(self._env, self._python)

    def train(
        self,
        job: Path,
        *,
        model_output: str,
        compute: str,
        timeout: float | None,
        environment: str,
        tags: Mapping[str, str] | None = None,
        on_line: Callable[[str], None],
    ) -> TrainedRun:
        if compute not in ("", "local"):
            raise InvalidInput(
                f"--compute: '{compute}' is not on this machine", hint="write local, or backend: azureml"
            )
        loaded = jobs.load_job(job)
        loaded = dataclasses.replace(loaded, tags={**loaded.tags, **(tags or {})})
        work, asset_folder = self._state / "runs", self._state / "assets"
        with tracking.tracking(self._uri, state_dir=self._state, env=self._env) as server:
            done = jobs.run_job(
                loaded, work=work, python=self.python, tracking_uri=server.uri, env=self._env, assets=asset_folder,
                environment=environment, cache=self._state / "cache" / "environments", on_line=on_line, say=self._say,
                timeout=timeout,
            )  # fmt: skip
        if model_output not in done.outputs:
            raise loaded.document.error(
                f"the job has no output '{model_output}'", ("outputs",), "name it in train.model of mlops.yml"
            )
        return TrainedRun(
            run_id=done.run_id,
            job_url="",
            model=jobs.model_folder(done.outputs[model_output], model_output),
            outputs=done.job_dir / "outputs",
            inputs=jobs.inputs_of(loaded, asset_folder),
            metrics=done.metrics,
            params=done.params,
            environment=self._environment(done),
            code=jobs.code_of(loaded),
            log=done.log_path,
            seconds=done.seconds,
            notes=done.notes,
            read=done.read,
        )

    def _environment(self, done: jobs.JobRun) -> dict[str, Any]:
        """What was installed, written down as a lock whose digest the lineage binds."""
        installed = sorted(f"{name}=={version}" for name, version in done.environment.items() if name != "python")
        text = "".join(f"{line}\n" for line in installed)
        write_whole(done.job_dir / "environment.lock", text)
        return {
            "python": done.environment.get("python", ""),
            "lock": "sha256:" + hashlib.sha256(text.encode()).hexdigest(),
            "installed": installed,
            "declared": done.environment_declared.lines,
            "differences": done.differences,
            "platform": f"{platform.system()} {platform.machine()}",
        }

    def run_there(self, job: Path, *, output: str, on_line: Callable[[str], None]) -> RanThere:  # noqa: ARG002  # the protocol's
        raise InvalidInput("the local backend has no compute but this machine", hint="write backend: azureml", file=job)

    def run_metrics(self, run_id: str) -> Mapping[str, float]:
        with tracking.tracking(self._uri, state_dir=self._state, env=self._env) as server:
            from gates.backends.local import mlflow_rest

            return dict(mlflow_rest.get_run(server.uri, run_id, self._env).metrics)

    def find(self, name: str, *, alias: str = "", version: str = "", digest: str = "") -> ModelVersion | None:
        if version:
            return _value(self._registry.get(name, version))
        return _value(self._registry.by_digest(name, digest) if digest else self._registry.find(name, alias))

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        return tuple(version for found in self._registry.versions(name) if (version := _value(found)))

    def register(
        self, name: str, model: Path, *, digest: str, run_id: str, tags: Mapping[str, str], lineage: Path
    ) -> tuple[ModelVersion, bool]:
        found, new = self._registry.register(name, model, run_id=run_id or None, tags=tags)
        if found.digest != digest:
            raise Unavailable(f"the registry says {found.digest} of what was {digest}", hint="register again")
        if not new:
            self._registry.set_tags(found, {key: value for key, value in tags.items() if key != "gates.model_digest"})
            found = self._registry.get(name, found.version) or found
        value = _value(found)
        assert value is not None  # noqa: S101  # _value is None for None only
        self.keep_lineage(value, lineage)
        return value, new

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        found = self._registry.get(version.name, version.version)
        if found is None:
            raise Unavailable(f"{version.uri} is gone from the registry", hint="see `gates model list`")
        if into.exists():
            shutil.rmtree(into)
        return self._registry.fetch(found, into)

    @property
    def shared(self) -> bool:
        return self._registry.remote

    def fetch_lineage(self, version: ModelVersion, into: Path) -> Path | None:
        if into.exists():
            return into
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into.parent) as beside:
            if self.shared:
                found = self._registry.get(version.name, version.version)
                got = None if found is None else self._registry.fetch_beside(found, LINEAGE, Path(beside))
            else:
                kept = self._lineage_of(version)
                got = Path(shutil.copytree(kept, Path(beside) / LINEAGE)) if kept.is_dir() else None
            return None if got is None else got.replace(into)

    def keep_lineage(self, version: ModelVersion, lineage: Path) -> None:
        if self.shared:
            found = self._registry.get(version.name, version.version)
            if found is not None:
                self._registry.keep_beside(found, LINEAGE, lineage)
            return
        kept = self._lineage_of(version)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as beside:
            shutil.copytree(lineage, Path(beside) / LINEAGE)
            if kept.exists():
                kept.replace(Path(beside) / "before")
            (Path(beside) / LINEAGE).replace(kept)

    def keep_events(self, folder: Path) -> None:
        if self.shared:
            self._registry.keep_events(folder)

    def fetch_events(self, into: Path) -> None:
        if self.shared:
            self._registry.fetch_events(into)

    def fetch_data(self, reference: str, into: Path) -> Path:  # noqa: ARG002  # it stands here already
        from gates.backends.local import assets

        def where(what: str) -> InvalidInput:
            return InvalidInput(what, hint="name a path, or use backend: azureml")

        return assets.resolve(reference, base=self._state, assets=self._state / "assets", where=where)

    def tag(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        found = self._registry.get(version.name, version.version)
        if found is not None:
            self._registry.set_tags(found, tags)

    def archive(self, version: ModelVersion, *, purge: bool = False) -> None:
        found = self._registry.get(version.name, version.version)
        if found is not None:
            self._registry.archive(found, purge=purge)

    def move_alias(self, name: str, alias: str, *, expected: str | None, new: str | None) -> None:
        self._registry.set_alias(name, alias, new, expected=expected)

    def endpoint_files(self, endpoint: Path, deployment: Path) -> EndpointFiles:
        from gates.backends.local.endpoint import yamlfiles

        return yamlfiles.read(endpoint, deployment, say=self._say)

    def endpoint(self, name: str, *, score: str, batch: bool = False) -> Any:
        from gates.backends.local.endpoint import client

        if batch:
            raise InvalidInput(f"{name} is a batch endpoint, which the local backend has not", hint="backend: azureml")

        cache = self._state / "cache" / "environments"
        return client.connect(
            self._state, name, env=self._env, python=self.python, cache=cache, score=score, mask=self._mask
        )

    def journal(self, endpoint: str) -> Chain:
        return Chain(self._state / "endpoints" / endpoint / "journal.jsonl")

    def _lineage_of(self, version: ModelVersion) -> Path:
        return self._state / "models" / version.name / f"{hexdigest(version.digest)}.{LINEAGE}"


def _value(found: registry.ModelVersion | None) -> ModelVersion | None:
    if found is None:
        return None
    return ModelVersion(
        found.name, found.version, found.digest, found.uri, found.run_id, found.aliases, found.tags, found.archived
    )
