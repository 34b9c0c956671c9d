"""The registered models of MLflow, each in its newest version."""

from __future__ import annotations

from plmscan.errors import FleetError, in_one_line
from plmscan.source.address import MLFLOW
from plmscan.source.copies.registry import mlflow_client

__all__ = ["registered"]

_PAGE = 1000


def registered(choice: str) -> list[str]:
    """Addresses of the newest versions of the models that MLflow's filter ``choice`` leaves.

    ``all`` leaves all.

    Raises:
        FleetError: MLflow does not answer, or has none.
        SourceError: its client is not installed.
    """
    client = mlflow_client()
    chosen = None if choice == "all" else choice
    found, page = [], None
    try:
        while True:
            some = client.search_registered_models(chosen, max_results=_PAGE, page_token=page)
            for model in some:
                versions = client.search_model_versions(f"name = '{model.name}'")
                if versions:
                    newest = max(int(version.version) for version in versions)
                    found.append(f"{MLFLOW}{model.name}/{newest}")
            page = some.token
            if not page:
                break
    except Exception as error:
        msg = f"MLflow does not list its models: {in_one_line(error, 200)}."
        raise FleetError(msg, "Check the filter and MLFLOW_TRACKING_URI.") from error
    if not found:
        msg = "MLflow's registry has no such models."
        raise FleetError(msg, "Check the filter and MLFLOW_TRACKING_URI.")
    return found
