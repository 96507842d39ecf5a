"""The user's managed online endpoint and deployment files (Azure ML CLI v2), as a local run honours them.

Read twice: by document.py, which knows lines and gives the values, and by the SDK's own loader, so that what is served
here is what Azure accepts. Its errors are nested JSON without a line; each becomes one InvalidInput with the line of
its key. Paths come out absolute, a conda file as its content. What a local run cannot honour is a warning by name.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import warnings
from typing import TYPE_CHECKING, Any

from gates.backends import EndpointFiles, is_batch
from gates.backends.local.endpoint.copies import code_digest
from gates.document import Document, load_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_ENDPOINT_NOT_HONOURED = {
    "identity": "a local endpoint has none",
    "public_network_access": "a local endpoint listens on loopback only",
    "traffic": "the rollout sets it",
    "mirror_traffic": "the rollout sets it",
    "location": "a local endpoint is here",
}
_DEPLOYMENT_NOT_HONOURED = {
    "scale_settings": "one model server runs locally",
    "liveness_probe": "the process itself is watched",
    "readiness_probe": "a deployment is ready when its first health request is answered",
    "app_insights_enabled": "nothing is sent anywhere",
    "data_collector": "requests are not collected locally",
    "egress_public_network_access": "the network of a local model server is not restricted",
    "private_network_connection": "a local endpoint listens on loopback only",
    "model_mount_path": "AZUREML_MODEL_DIR names the folder",
}


def read(
    endpoint: Path, deployment: Path, *, say: Callable[[str], None] = lambda _: None, batch: bool = False
) -> EndpointFiles:
    """Both files, checked. Raises InvalidInput with file and line. `say` gets what the SDK prints.

    batch: whether there are batch endpoints where it is to be deployed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK's dependencies deprecate one another; users cannot mend that
        return _read(endpoint, deployment, say, batch=batch)


def _read(endpoint: Path, deployment: Path, say: Callable[[str], None], *, batch: bool) -> EndpointFiles:
    from azure.ai import ml

    outer = load_yaml(endpoint, "the endpoint file")
    inner = load_yaml(deployment, "the deployment file")
    of_batch = is_batch(inner.value)
    if of_batch:
        _check_batch(inner, there=batch)
    _check(outer, ml.load_batch_endpoint if of_batch else ml.load_online_endpoint, say)
    _check(inner, batch_loader(inner.value) if of_batch else ml.load_online_deployment, say)
    name, of = str(outer.value.get("name") or ""), inner.value.get("endpoint_name")
    if not name:
        raise outer.error("the endpoint has no name", hint="write name: …")
    if of is not None and of != name:
        raise inner.error(
            f"endpoint_name is {of}, but {endpoint.name} is for {name}", ("endpoint_name",), f"write {name}"
        )
    return EndpointFiles(
        endpoint_name=name,
        deployment_prefix=str(inner.value["name"]),
        endpoint_body=outer.value,
        deployment_body=_resolved(inner),
        batch=of_batch,
        warnings=(*_endpoint_warnings(outer), *_deployment_warnings(inner)),
    )


def _check_batch(document: Document, *, there: bool) -> None:
    """What of Azure's batch deployments can be gated."""
    line = ("$schema",) if "$schema" in document.value else ("type",)
    if not there:
        hint = "write backend: azureml; `gates validate-gate` scores the same data here"
        raise document.error("a batch deployment runs in an Azure ML workspace only", line, hint)
    if document.value.get("type") == "pipeline" or "component" in document.value or "job_definition" in document.value:
        raise document.error("a pipeline has no answers that could be gated", line, "deploy a model: type: model")
    settings = document.value.get("settings") or document.value
    if settings.get("output_action", "append_row") != "append_row":
        raise document.error("output_action: answers that are not kept cannot be gated", line, "write append_row")


def batch_loader(deployment: Mapping[str, Any]) -> Callable[[Path], Any]:
    """The SDK's loader of a batch deployment in its form: settings apart (the present one), or beside the rest."""
    from azure.ai.ml import load_batch_deployment
    from azure.ai.ml.entities._load_functions import load_model_batch_deployment  # as `az ml`: it is exported nowhere

    load: Callable[[Path], Any] = load_model_batch_deployment if "settings" in deployment else load_batch_deployment
    return load


def _check(document: Document, load: Callable[[Path], Any], say: Callable[[str], None]) -> None:
    """Let the SDK read the file; its first complaint, by line, becomes ours."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            load(document.file)
    except Exception as error:  # the SDK raises marshmallow's errors and its own
        path, what = next(_complaints(str(error)), ((), str(error).strip().splitlines()[0]))
        where = f"{'.'.join(path)}: " if path else ""
        raise document.error(f"{where}{what}", path, "see Azure ML's schema of this file") from error
    finally:
        for line in printed.getvalue().splitlines():
            say(line)


def _complaints(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Pairs of key path and message in the JSON that marshmallow's errors hold."""
    found = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        tree = json.loads(found.group()) if found else {}
    except ValueError:
        return

    def walk(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
        if isinstance(node, dict):
            for key, below in node.items():
                yield from walk(below, (*path, key))
        else:
            yield path, "; ".join(map(str, node)) if isinstance(node, list) else str(node)

    yield from walk(tree, ())


def _resolved(document: Document) -> Mapping[str, Any]:
    """The deployment with absolute paths, the code's digest, and the conda file's content."""
    body, base = dict(document.value), document.file.resolve().parent
    code = body.get("code_configuration")
    if code is not None:
        folder = (base / str(code.get("code", "."))).resolve()
        script = str(code.get("scoring_script", ""))
        if not (folder / script).is_file():
            raise document.error(
                f"scoring script not found: {folder / script}",
                ("code_configuration", "scoring_script"),
                "code is relative to this file, scoring_script to code",
            )
        digest = code_digest(folder)
        body["code_configuration"] = {"code": str(folder), "scoring_script": script, "digest": digest}
    environment = body.get("environment")
    if isinstance(environment, dict) and isinstance(environment.get("conda_file"), str):
        conda = load_yaml(base / environment["conda_file"], "the conda file")
        body["environment"] = {**environment, "conda_file": conda.value}
    return body


def _endpoint_warnings(document: Document) -> Iterator[str]:
    yield from _not_honoured(document, _ENDPOINT_NOT_HONOURED)
    if document.value.get("auth_mode", "key") != "key":
        yield _at(document, "auth_mode", f"{document.value['auth_mode']} is not honoured locally: a key is used")


def _deployment_warnings(document: Document) -> Iterator[str]:
    yield from _not_honoured(document, _DEPLOYMENT_NOT_HONOURED)
    body = document.value
    if int(body.get("instance_count") or 1) > 1:
        yield _at(document, "instance_count", "one model server runs locally")
    environment = body.get("environment")
    if isinstance(environment, str):
        yield _at(
            document, "environment", f"{environment} is not fetched locally: the model's own requirements are used"
        )
    elif isinstance(environment, dict):
        for key in {"image", "build"} & set(environment):
            rest = "only its conda file is used" if "conda_file" in environment else "the model's requirements are used"
            yield _at(document, "environment", f"{key} is not run locally: {rest}")
    if body.get("type", "managed") == "kubernetes":
        yield _at(document, "type", "kubernetes is not honoured locally: the deployment is served on loopback")


def _not_honoured(document: Document, keys: Mapping[str, str]) -> Iterator[str]:
    for key in document.value:
        if key in keys:
            yield _at(document, key, f"not honoured locally: {keys[key]}")


def _at(document: Document, key: str, what: str) -> str:
    return f"{document.file}:{document.line((key,))}: {key}: {what}"
