"""An MLflow tracking server on one loopback port, as a script: `python tracking_server.py URI ARTIFACTS READY`.

MLflow's own command starts several processes and takes its port by number; this is one process that binds a port the
system chooses, prepares the database, and then writes its address to the file READY. Started and ended by tracking.py.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def main(uri: str, artifacts: str, ready: str) -> None:
    # What `mlflow server` passes to its workers, in every MLflow from 1 to 3.
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = uri
    os.environ["_MLFLOW_SERVER_REGISTRY_STORE"] = uri
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
    os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = artifacts
    os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    database = runpy.run_path(str(Path(__file__).with_name("database.py")))
    try:
        database["make"](Path(uri[len("sqlite:///") :]))
    except Exception as error:  # noqa: BLE001  # whatever it is, the reason is what the owner needs
        sys.exit(f"MLflow cannot use {uri}: {str(error).partition(chr(10))[0]}")
    from mlflow.server import app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing of requests."""

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    # The first question opens the database. The server must not say that it is ready before that.
    app.config["PROPAGATE_EXCEPTIONS"] = True
    try:
        answer = app.test_client().get("/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": "127.0.0.1"})
    except Exception as error:  # noqa: BLE001  # whatever it is, the reason is what the owner needs
        sys.exit(f"MLflow cannot use {uri}: {str(error).partition(chr(10))[0]}")
    app.config["PROPAGATE_EXCEPTIONS"] = None
    if answer.status_code != 200:
        sys.exit(f"MLflow cannot use {uri}: {' '.join(answer.get_data(as_text=True).split())}")
    beside = Path(f"{ready}.part")
    beside.write_text(f"http://127.0.0.1:{server.server_port}")
    beside.replace(ready)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
