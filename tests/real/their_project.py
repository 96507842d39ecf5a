"""A repository of somebody else's: a model in a sub-folder, a package of their own, older numpy and MLflow than ours.

Their package refuses to be imported beside any other numpy, so that a job or a gate that used our environment, or one
of another making, could not even load the model. The model is a few numbers: what is shown is the way.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from act_rig import Rig

NUMPY = "1.26.4" if sys.version_info < (3, 13) else "2.1.3"
MLFLOW = "2.22.0"
PINS = (f"numpy=={NUMPY}", "pandas==2.2.3", f"mlflow-skinny=={MLFLOW}", "pyarrow>=17,<20")
PLACE = "models/credit risk"
PACKAGE = f"""\
import numpy
if numpy.__version__ != {NUMPY!r}:
    raise ImportError(f"creditlib needs numpy {NUMPY}, this is {{numpy.__version__}}")

def risky(frame):
    return (frame["debt"] > frame["income"]).astype("int64").to_numpy()
"""
TRAIN = """\
import os, sys
import mlflow, numpy
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
import pandas as pd
import creditlib

class Rule(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import creditlib
        return creditlib.risky(model_input)

rows = pd.read_parquet(sys.argv[1])
features = rows[["income", "debt"]]
mlflow.log_metric("accuracy", float((creditlib.risky(features) == rows["late"]).mean()))
print("numpy", numpy.__version__, "mlflow", mlflow.__version__, "in", sys.prefix)
password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
print("the password has", len(password), "letters:", password)
mlflow.pyfunc.save_model(
    sys.argv[2], python_model=Rule(), pip_requirements=["creditlib==1.0", "mlflow-skinny==VERSION"],
    signature=ModelSignature(Schema([ColSpec("long", name) for name in features]), Schema([ColSpec("long")])),
)
""".replace("VERSION", MLFLOW)
FILES = {
    "mlops.yml": "version: 1\nmodel: credit-risk\ntrain: {job: jobs/train.yml, model: model}\n"
    "evaluate: {data: data/test.parquet, target: late, positive_label: 1, score: predict}\n"
    "deploy:\n  endpoint: deploy/endpoint.yml\n  deployment: deploy/deployment.yml\n"
    "  rollout: {steps: [100], interval: 1s, mirror: 0, bake: 1s, keep_old: 0s}\n"
    "drift: {reference: data/train.parquet, current: data/now.parquet}\n",
    "policy.yml": "version: 1\nname: credit\nrevision: 1\nowner: tests\nstages:\n  validate:\n    checks:\n"
    "      - {id: accuracy.floor, type: threshold, metric: accuracy, min: 0.8}\n"
    "  drift:\n    checks:\n      - {id: features, type: drift, columns: [income, debt], min_samples: 100}\n"
    "    retrain: {on_drift: true}\n",
    "jobs/train.yml": "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ntype: command\n"
    "code: ../src\ncommand: python train.py ${{inputs.rows}} ${{outputs.model}}\n"
    "inputs:\n  rows: {type: uri_file, path: ../data/train.parquet}\noutputs:\n  model: {type: mlflow_model}\n"
    "environment: azureml:credit:1\n",
    "src/train.py": TRAIN,
    "deploy/endpoint.yml": "$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json\n"
    "name: my-endpoint\nauth_mode: key\n",
    "deploy/deployment.yml": "$schema: "
    "https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json\n"
    "name: credit\nendpoint_name: my-endpoint\nmodel: azureml:credit-risk@latest\n"
    "instance_type: Standard_DS2_v2\ninstance_count: 1\n",
}


def environment(rig: Rig, folder: Path) -> Path:
    """A virtual environment of theirs, with what their package pins; its folder."""
    theirs = folder / "their venv"
    wheel = _wheel(folder)
    uv = [str(Path(sys.executable).parent / "uv")]
    for command in (
        [*uv, "venv", "--quiet", "--python", sys.executable, str(theirs)],
        [*uv, "pip", "install", "--quiet", "--python", str(theirs / "bin/python"), str(wheel)],
    ):
        subprocess.run(command, check=True, env=rig.env())
    return theirs


def project(folder: Path) -> Path:
    """The project's files below `folder`; they are said where a monorepo would have them."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "data").mkdir()
    for name, shift in (("train", 0), ("test", 0), ("now", 600)):
        income = [1000 + 13 * (n * 7 % 97) for n in range(400)]
        debt = [900 + shift + 17 * (n * 5 % 83) for n in range(400)]
        late = [int((d > i) != (n % 25 == 0)) for n, (i, d) in enumerate(zip(income, debt, strict=True))]
        pq.write_table(pa.table({"income": income, "debt": debt, "late": late}), folder / f"data/{name}.parquet")
    return folder


def _wheel(folder: Path) -> Path:
    path = folder / "creditlib-1.0-py3-none-any.whl"
    info = "creditlib-1.0.dist-info"
    needs = "".join(f"Requires-Dist: {pin}\n" for pin in PINS)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("creditlib.py", PACKAGE)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: creditlib\nVersion: 1.0\n{needs}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"creditlib.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path
