"""How data comes to a job when nobody says it: as Azure's documents show it."""

from taxiops.emulator.state.jobs.values import with_modes


def test_files_folders_and_models_get_the_usual_modes_and_the_rest_is_left_alone() -> None:
    given = {
        "inputs": {
            "folder": {"jobInputType": "uri_folder", "uri": "u"},
            "model": {"jobInputType": "mlflow_model", "uri": "u"},
            "copied": {"jobInputType": "uri_file", "uri": "u", "mode": "Download"},
            "number": {"jobInputType": "literal", "value": "1"},
            "table": {"jobInputType": "mltable", "uri": "u"},
            "nothing": None,
        },
        "outputs": {"made": {"jobOutputType": "uri_folder"}},
    }
    filled = with_modes(given)
    modes = {key: (each or {}).get("mode") for key, each in filled["inputs"].items()}
    assert modes == {
        "folder": "ReadOnlyMount",
        "model": "ReadOnlyMount",
        "copied": "Download",
        "number": None,
        "table": None,
        "nothing": None,
    }
    assert filled["outputs"]["made"]["mode"] == "ReadWriteMount"
    assert "mode" not in given["outputs"]["made"]
    assert with_modes({"inputs": [1], "command": "x"}) == {"inputs": [1], "command": "x"}
