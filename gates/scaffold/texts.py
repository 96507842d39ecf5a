"""The texts of the files that `gates init` writes, as a person would have written them, with reasons as comments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gates.scaffold.policy import SCHEMA
from gates.scaffold.yaml import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gates.scaffold.table import Table

CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"
AZURE = "https://azuremlschemas.azureedge.net/latest"
LOCAL_ONLY = "# The local backend's state lives on one machine, so that the five steps are one job."


def mlops(
    name: str, *, job: str, model: str, table: Table | None, data: str, endpoint: str, deployment: str, sample: str,
    current: str,
) -> str:  # fmt: skip
    """mlops.yml; a part that nothing is known of is left out."""
    lines = [
        f"# yaml-language-server: $schema={SCHEMA}/mlops.v1.schema.json",
        "version: 1",
        f"model: {quoted(name)}",
        "backend: local # azureml runs the same five steps on Azure Machine Learning; it needs the key 'workspace'",
        "policy: policy.yml",
        "train:",
        f"  job: {quoted(job)}",
        f"  model: {quoted(model)}",
    ]
    if table is not None:
        lines += ["evaluate:", f"  data: {quoted(data)}", f"  target: {quoted(table.target)} # {table.why_target}"]
        if table.task == "binary":
            lines.append(f"  positive_label: {quoted(table.positive)}")
        if table.sensitive:
            lines.append(f"  sensitive: {listed(table.sensitive)}")
    lines += ["deploy:", f"  endpoint: {quoted(endpoint)}", f"  deployment: {quoted(deployment)}"]
    if sample:
        lines.append(f"  sample_request: {quoted(sample)}")
    lines += [
        "  # Short, to be watched. A real service takes minutes a step and keeps the old deployment for hours.",
        "  rollout: { steps: [10, 50, 100], interval: 2s, bake: 4s, keep_old: 0s }",
    ]
    if current:
        lines += ["drift:", "  reference: profile", f"  current: {quoted(current)}"]
    else:
        lines += ["# What drift-check compares with the profile of training: rows that production saw.",
                  "# drift: { reference: profile, current: data/production.csv }"]  # fmt: skip
    return "\n".join(lines) + "\n"


def job(name: str, *, code: str, command: Sequence[str], data: str, conda: str) -> str:
    """An Azure ML command job."""
    said = "".join(f"  {part}\n" for part in command)
    inputs = f"inputs:\n  train_data:\n    type: uri_file\n    path: {quoted(data)}\n" if data else ""
    return f"""\
# yaml-language-server: $schema={AZURE}/commandJob.schema.json
$schema: {AZURE}/commandJob.schema.json
type: command
experiment_name: {quoted(name)}
code: {quoted(code)}
command: >-
{said}{inputs}outputs:
  model:
    type: mlflow_model
environment:
  image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04
  conda_file: {quoted(conda)}
compute: azureml:cpu-cluster
"""


def endpoint(name: str) -> str:
    return f"""\
# yaml-language-server: $schema={AZURE}/managedOnlineEndpoint.schema.json
$schema: {AZURE}/managedOnlineEndpoint.schema.json
name: {quoted(name)}
auth_mode: key
"""


def deployment(name: str) -> str:
    return f"""\
# yaml-language-server: $schema={AZURE}/managedOnlineDeployment.schema.json
$schema: {AZURE}/managedOnlineDeployment.schema.json
# The prefix of blue's and green's names. The model is filled in: the version that passed the gate.
name: {quoted(name[:12].rstrip("-"))}
endpoint_name: {quoted(name)}
model: {quoted(f"azureml:{name}@latest")}
instance_type: Standard_DS2_v2
instance_count: 1
"""


def sample(table: Table) -> str:
    """A request with the first rows of the data, without the answer."""
    names = [name for name, _ in table.columns]
    rows = [[_plain(row[names.index(name)]) for name in table.features] for row in table.sample]
    body = ",\n".join(f"      {json.dumps(row, ensure_ascii=False)}" for row in rows)
    return (
        f'{{\n  "input_data": {{\n    "columns": {json.dumps(list(table.features), ensure_ascii=False)},\n'
        f'    "index": {json.dumps(list(range(len(rows))))},\n    "data": [\n{body}\n    ]\n  }}\n}}\n'
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def conda(name: str, packages: Sequence[str]) -> str:
    said = "".join(f"      - {quoted(package)}\n" for package in packages)
    return f"""\
name: {quoted(name)}
channels: [conda-forge]
dependencies:
  - python=3.11
  - pip
  - pip:
      - "azureml-mlflow>=1.59" # tracking to the workspace, when the job runs in Azure ML
{said}"""


def github_code(source: str, tests: str, requirements: str) -> str:
    """The CI of the model's own code, and the data checks."""
    needed = f" --requirement {requirements}" if requirements else ""
    tested = f"""\
      - name: Tests, with coverage
        run: python -m pytest --cov={source} --cov-report=term-missing --cov-fail-under=70 {tests}
""" if tests else ""  # fmt: skip
    return f"""\
# The model's own code and data, at every change.
name: code
on:
  pull_request:
  push:
    branches: [main]
permissions: {{}}
jobs:
  code:
    name: Format, lint, types, tests
    runs-on: ubuntu-latest
    timeout-minutes: 20
    permissions:
      contents: read
    steps:
      - uses: {CHECKOUT}
        with:
          persist-credentials: false
      - name: Tools, and what the code needs
        if: ${{{{ !env.ACT }}}} # under act the job runs on your own machine, whose Python has them
        run: python -m pip install ruff mypy pytest pytest-cov pandas-stubs{needed}
      - name: Format
        run: python -m ruff format --check {source}{" " + tests if tests else ""}
      - name: Lint
        run: python -m ruff check {source}{" " + tests if tests else ""}
      - name: Types
        run: python -m mypy {source}
{tested}  data:
    name: Data checks
    runs-on: ubuntu-latest
    timeout-minutes: 20
    permissions:
      contents: read
    steps:
      - uses: {CHECKOUT}
        with:
          persist-credentials: false
      - id: data
        name: The data keep the contract of the policy's stage 'train'
        uses: ORG/mlops-gates/actions/validate-gate@v1
        with:
          config: mlops.yml
          stage: train
"""


def github_pipeline(name: str, requirements: str, *, drift: bool) -> str:
    """Train, gate, register, deploy and, where there is current data, look for drift."""
    needed = f"""\
      - name: What the training code and the model need
        if: ${{{{ !env.ACT }}}} # under act the job runs on your own machine, whose Python has it
        run: python -m pip install --requirement {requirements}
""" if requirements else ""  # fmt: skip
    watch = """\
      - id: drift
        name: Watch for drift
        uses: ORG/mlops-gates/actions/drift-check@v1
        with:
          config: mlops.yml
""" if drift else ""  # fmt: skip
    return f"""\
{LOCAL_ONLY}
# With `backend: azureml` take the reusable workflows instead: docs/how-to of MLOps Gates.
name: pipeline
on:
  push:
    branches: [main]
  workflow_dispatch:
permissions: {{}}
concurrency:
  group: {name}
  cancel-in-progress: false
jobs:
  model:
    name: Train, gate, register, deploy
    runs-on: ubuntu-latest
    timeout-minutes: 60
    permissions:
      contents: read
    steps:
      - uses: {CHECKOUT}
        with:
          persist-credentials: false
{needed}      - id: train
        name: Train
        uses: ORG/mlops-gates/actions/train@v1
        with:
          config: mlops.yml
      - id: gate
        name: Gate
        uses: ORG/mlops-gates/actions/validate-gate@v1
        with:
          config: mlops.yml
          model: ${{{{ steps.train.outputs.model-path }}}}
      - id: register
        name: Register
        uses: ORG/mlops-gates/actions/register@v1
        with:
          config: mlops.yml
          model: ${{{{ steps.train.outputs.model-path }}}}
          report: ${{{{ steps.gate.outputs.report-path }}}}
      - id: deploy
        name: Deploy
        uses: ORG/mlops-gates/actions/deploy-blue-green@v1
        with:
          config: mlops.yml
          model-version: ${{{{ steps.register.outputs.model-version }}}}
{watch}      - id: setup
        name: gates, as a command
        if: ${{{{ always() && steps.deploy.outcome != 'skipped' }}}}
        uses: ORG/mlops-gates/actions/setup@v1
      - id: stop
        name: Stop the endpoint, which runs on this machine # leave this out where the machine stays and serves
        if: ${{{{ always() && steps.deploy.outcome != 'skipped' }}}}
        env:
          GATES: ${{{{ steps.setup.outputs.python }}}}
        run: '"$GATES" -I -m gates endpoint stop'
"""


def azure_code(source: str, tests: str, requirements: str) -> str:
    """The same on Azure DevOps, as a pipeline of its own."""
    needed = f" --requirement {requirements}" if requirements else ""
    tested = f"""\
  - script: python -m pytest --cov={source} --cov-report=term-missing --cov-fail-under=70 {tests}
    displayName: Tests, with coverage
""" if tests else ""  # fmt: skip
    return f"""\
# The model's own code and data, at every change.
trigger:
  branches:
    include: [main]
pr:
  branches:
    include: [main]
pool:
  vmImage: ubuntu-latest
resources:
  repositories:
    - repository: gates
      type: github
      endpoint: github # the name of your GitHub service connection
      name: ORG/mlops-gates
      ref: refs/tags/v1
steps:
  - checkout: self
  - task: UsePythonVersion@0
    inputs:
      versionSpec: '3.11'
  - script: python -m pip install ruff mypy pytest pytest-cov pandas-stubs{needed}
    displayName: Tools, and what the code needs
  - script: python -m ruff format --check {source}{" " + tests if tests else ""}
    displayName: Format
  - script: python -m ruff check {source}{" " + tests if tests else ""}
    displayName: Lint
  - script: python -m mypy {source}
    displayName: Types
{tested}  - template: templates/ado/steps/validate-gate.yml@gates
    parameters:
      stepName: data
      config: mlops.yml
      stage: train
"""


def azure_pipeline(requirements: str) -> str:
    """The whole flow, extended from the tag."""
    needed = f"""\
      - script: python -m pip install --requirement {requirements}
        displayName: What the training code needs
""" if requirements else ""  # fmt: skip
    return f"""\
# Train, gate and register; deploy to staging and, after the approvals of its environment, to production; on a schedule
# look for drift first. Approvals stand on the environments `staging` and `production`.
trigger:
  branches:
    include: [main]
pr:
  branches:
    include: [main]
schedules:
  - cron: 17 4 * * *
    displayName: Drift
    branches:
      include: [main]
    always: true
resources:
  repositories:
    - repository: gates
      type: github
      endpoint: github # the name of your GitHub service connection
      name: ORG/mlops-gates
      ref: refs/tags/v1
extends:
  template: templates/ado/extends/pipeline.yml@gates
  parameters:
    config: mlops.yml
    prepare:
      - task: UsePythonVersion@0
        inputs:
          versionSpec: '3.11'
{needed}"""


PRE_COMMIT = """\
repos:
  - repo: local
    hooks:
      - id: gates-policy-check
        name: The policy is sound
        entry: gates policy check
        language: python
        additional_dependencies: [mlops-gates]
        files: ^(mlops|policy)\\.yml$
        pass_filenames: false
      - id: ruff-format
        name: Format
        entry: ruff format --force-exclude
        language: python
        additional_dependencies: [ruff]
        types: [python]
"""
TOOLS = """\
[tool.ruff]
line-length = 120

[tool.mypy]
python_version = "3.10"
ignore_missing_imports = true # mlflow and scikit-learn ship no types
"""
IGNORED = ".gates/"


def owners(owner: str) -> str:
    """The line that asks somebody at every change of the policy."""
    return f"/policy.yml @{owner}"
