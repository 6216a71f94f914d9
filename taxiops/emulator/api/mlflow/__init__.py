"""MLflow's REST API: runs, artifacts, logged models and the registry."""
