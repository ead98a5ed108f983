import pytest

from tests.faults.fleet_runs import SPLITS, table, tagged
from tests.support.runs import write_lines


@pytest.fixture(scope="module")
def houses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for i in range(SPLITS):
        write_lines(folder / f"{i}.jsonl", *[f"Ms Keller of house {i} {j} lives in Cork." for j in range(30)])
    return folder


@pytest.fixture(scope="module")
def golden(houses, tmp_path_factory):
    out = tmp_path_factory.mktemp("golden") / "out"
    code, _, stderr = tagged(houses, out, "--workers", "0")
    assert code == 0, stderr
    return table(out)
