"""Makes an endpoint and its deployments from the user's files, with the SDK, and remembers why one failed.

The user's YAML is loaded by the SDK as it stands; ours are the name, the model (the registered version with the gated
bytes) and two tags. An MLflow model without a scoring script is served by ours, which verifies the bytes again and
answers as the gate was answered (serve_mlflow.py).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gates.backends.azureml import batch_mlflow, serve_mlflow
from gates.backends.azureml.calls import explained
from gates.backends.azureml.client import quiet
from gates.backends.local.endpoint import mlflow_score
from gates.backends.local.endpoint.copies import code_digest
from gates.backends.local.endpoint.packages import SERVER
from gates.backends.local.endpoint.yamlfiles import batch_loader
from gates.errors import InvalidInput, Unavailable
from gates.lineage.digest import model_digest
from gates.runtime import worker
from gates.runtime.scoring import model_requirements

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gates.backends.azureml.client import Workspace
    from gates.serving import DeploymentSpec

IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
"""Azure's plain image; the environment is the model's own requirements and Azure's inference server."""
BATCH = ("azureml-core", "azureml-dataset-runtime[fuse]")
"""What Azure asks of the environment of a batch deployment."""
MONITORING = ("azureml-ai-monitoring>=1,<2",)
"""What hands requests to Azure's data collector, where a deployment has one."""
_OURS = ("traffic", "mirror_traffic", "defaults")


class Maker:
    """`model_of`: the registered `azureml:NAME:VERSION` of a digest, '' where none is; `score`: how the gate asked.

    batch: whether endpoint and deployments are those of jobs on whole files.
    """

    def __init__(
        self, workspace: Workspace, *, model_of: Callable[[str], str], score: str, batch: bool = False
    ) -> None:
        self._workspace, self._model_of, self._score, self._batch = workspace, model_of, score, batch
        self._pollers: dict[str, Any] = {}

    def endpoint(self, name: str, body: Mapping[str, Any]) -> None:
        """Begin to make the endpoint, without traffic."""
        kept = {key: value for key, value in body.items() if key not in _OURS}
        with tempfile.TemporaryDirectory(prefix="gates-") as folder, quiet(), explained(f"create endpoint {name}"):
            from azure.ai.ml import load_batch_endpoint, load_online_endpoint

            mode, ml = "aad_token" if self._batch else "key", self._workspace.ml
            file = _write(Path(folder) / "endpoint.yml", {"auth_mode": mode, **kept, "name": name})
            if self._batch:
                ml.batch_endpoints.begin_create_or_update(load_batch_endpoint(file))
            else:
                ml.online_endpoints.begin_create_or_update(load_online_endpoint(file))

    def deployment(self, endpoint: str, spec: DeploymentSpec, *, tags: Mapping[str, str]) -> None:
        """Begin to make a deployment. InvalidInput for what Azure refuses, quota among it."""
        what = f"create deployment {spec.name}"
        with tempfile.TemporaryDirectory(prefix="gates-") as folder, quiet(), explained(what):
            from azure.ai.ml import load_online_deployment

            body, ml = self._body(endpoint, spec, tags, Path(folder)), self._workspace.ml
            load = batch_loader(body) if self._batch else load_online_deployment
            entity = load(_write(Path(folder) / "deployment.yml", body))
            made = (ml.batch_deployments if self._batch else ml.online_deployments).begin_create_or_update(entity)
            self._pollers[spec.name] = made

    def why(self, name: str) -> str:
        """Why a deployment that this process made has failed, as Azure said; '' where it did not say."""
        poller = self._pollers.get(name)
        if poller is None or not poller.done():
            return ""
        try:
            with quiet(), explained(f"deployment {name}"):
                poller.wait()
                poller.result()
        except (InvalidInput, Unavailable) as error:
            return f"{error.what}; {error.hint}" if error.hint else error.what
        return ""

    def _body(self, endpoint: str, spec: DeploymentSpec, tags: Mapping[str, str], folder: Path) -> dict[str, Any]:
        left = ("$schema", "type") if self._batch and "settings" not in spec.body else ("$schema",)
        body = {key: value for key, value in spec.body.items() if key not in left}
        body |= {"name": spec.name, "endpoint_name": endpoint, "model": self._model(spec, folder)}
        body["tags"] = {**(body.get("tags") or {}), **tags}
        code = body.get("code_configuration")
        if code:
            given = Path(str(code["code"]))
            if code.get("digest", found := code_digest(given)) != found:
                raise InvalidInput(
                    f"the code of {spec.name} changed after the deployment was planned", hint="deploy again"
                )
            body["code_configuration"] = {"code": str(given), "scoring_script": code["scoring_script"]}
        elif Path(spec.model, "MLmodel").is_file():
            body |= self._served_by_us(spec, body, folder)
        return body

    def _model(self, spec: DeploymentSpec, folder: Path) -> Any:
        """The registered version with the gated bytes; where there is none, the bytes themselves, verified."""
        registered = self._model_of(spec.model_digest)
        if registered:
            return registered
        source = Path(spec.model)
        if not source.is_dir() or model_digest(source) != spec.model_digest:
            raise InvalidInput(
                f"model of {spec.name} is not the one that was gated ({spec.model_digest[:19]})",
                hint="register the model that was gated",
            )
        kind = "mlflow_model" if (source / "MLmodel").is_file() else "custom_model"
        return {"path": str(shutil.copytree(source, folder / "model")), "type": kind}

    def _served_by_us(self, spec: DeploymentSpec, body: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        code = folder / "code"
        code.mkdir()
        beside = (batch_mlflow,) if self._batch else ()
        for module in (*beside, serve_mlflow, mlflow_score, worker):
            source = Path(str(module.__file__))
            shutil.copy2(source, code / source.name)
        known = {"GATES_MODEL_DIGEST": spec.model_digest, "GATES_SCORE": self._score}
        (code / serve_mlflow.SETTINGS).write_text(json.dumps(known), encoding="utf-8")
        named = Path(str((*beside, serve_mlflow)[0].__file__)).name
        ours: dict[str, Any] = {"code_configuration": {"code": str(code), "scoring_script": named}}
        packages = BATCH if self._batch else (*SERVER, *MONITORING) if body.get("data_collector") else SERVER
        return ours if body.get("environment") else {**ours, "environment": _environment(Path(spec.model), packages)}


def _environment(model: Path, beside: Sequence[str]) -> dict[str, Any]:
    python = "3.11"
    described = model / "python_env.yaml"
    if described.is_file():
        python = str((yaml.safe_load(described.read_text(encoding="utf-8")) or {}).get("python") or python)
    version = ".".join(python.split(".")[:2])
    packages = [*model_requirements(model), *beside]
    conda = {
        "name": "model", "channels": ["conda-forge"],
        "dependencies": [f"python={version}", "pip", {"pip": packages}],
    }  # fmt: skip
    return {"image": IMAGE, "conda_file": conda}


def _write(file: Path, body: Mapping[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(dict(body), sort_keys=False), encoding="utf-8")
    return file
