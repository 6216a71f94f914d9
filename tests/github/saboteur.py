"""Breaks the newest slot of the Dev or Prod endpoint as somebody's mistake would: another variable.

The slot then answers that it serves a model version that it does not serve.
"""

import os
from pathlib import Path

from taxiops.cloud import connect, endpoints
from taxiops.config import load_settings
from taxiops.workflows.rollouts import record as records

env = "prod" if "prod" in os.environ["ACT_STAND_IN_HOOK_JOB"] else "dev"
connection = connect("local", env, load_settings({"env": env}, os.environ, Path.cwd()))
endpoint = endpoints.require_endpoint(connection)
record = records.record_of_tags(endpoint.tags, env, endpoint.name)
assert record is not None
client = connection.workspace.online_deployments
deployment = client.get(name=record.slot, endpoint_name=endpoint.name)
deployment.environment_variables["TAXIOPS_MODEL_VERSION"] = "sabotaged"
client.begin_create_or_update(deployment).result()
