"""What `cluster/` holds is what its schemas ask for, and agrees with the commands that it calls."""

import functools
import importlib.util
import json
import os
import py_compile
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from shutil import which

import jsonschema
import kubernetes_validate
import pytest
import typer.testing
import yaml

from pipeline.config import TagConfig
from pipeline.nightly.config import load_night
from tests.support import ROOT
from tests.support.nights import DAYS, config_of, write_day

CLUSTER = ROOT / "cluster"
MANIFESTS = sorted([*CLUSTER.glob("kuberay/*.yaml"), *CLUSTER.glob("kubernetes/*.yaml")])
SCHEMAS = Path(os.environ.get("TEXTMILL_SCHEMAS", ROOT.parent / "shared" / "schemas"))


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def strict(schema):
    """What a server does with unknown fields: it drops them; here they are errors."""
    if isinstance(schema, dict):
        made = {key: strict(value) for key, value in schema.items()}
        if "properties" in made and "additionalProperties" not in made and not made.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
        if made.get("x-kubernetes-int-or-string"):
            made.pop("type", None)
        return made
    return [strict(one) for one in schema] if isinstance(schema, list) else schema


@functools.cache
def kuberay_schema(kind):
    path = SCHEMAS / "kuberay" / f"ray.io_{kind.lower()}s.yaml"
    if not path.exists():
        pytest.skip(f"no schemas of KubeRay in {SCHEMAS}; set TEXTMILL_SCHEMAS")
    found = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = [one for one in found["spec"]["versions"] if one["name"] == "v1"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_what_their_schemas_ask_for(path):
    for one in documents(path):
        if one["apiVersion"] == "ray.io/v1":
            jsonschema.Draft202012Validator(kuberay_schema(one["kind"])).validate(one)
        else:
            kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_a_manifest_that_is_wrong_is_found():
    (job,) = documents(CLUSTER / "kuberay" / "rayjob.yaml")
    schema = kuberay_schema("RayJob")
    for wrong in ({"entrypiont": "x"}, {"backoffLimit": "two"}, {"rayClusterSpec": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate({**job, "spec": {**job["spec"], **wrong}})
    (cron,) = documents(CLUSTER / "kubernetes" / "cronjob.yaml")
    cron["spec"]["concurrencyPolcy"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(cron, kubernetes_validate.latest_version(), strict=True)


def test_nights_never_meet_and_have_a_deadline_and_a_zone():
    (cron,) = documents(CLUSTER / "kubernetes" / "cronjob.yaml")
    spec = cron["spec"]
    assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", "Etc/UTC")
    assert 0 < spec["startingDeadlineSeconds"] < 24 * 3600
    rules = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rules[0]["onExitCodes"]["values"] == [2, 4]
    (ray,) = documents(CLUSTER / "kuberay" / "raycronjob.yaml")
    assert (ray["spec"]["timeZone"], ray["spec"]["schedule"]) == (spec["timeZone"], spec["schedule"])


def clusters():
    for name in ("raycluster", "rayjob", "raycronjob"):
        (one,) = documents(CLUSTER / "kuberay" / f"{name}.yaml")
        spec = one["spec"]
        yield spec if name == "raycluster" else spec.get("jobTemplate", spec)["rayClusterSpec"]


def test_clusters_have_cpu_and_gpu_workers_that_come_and_go():
    made = list(clusters())
    for one in made:
        groups = {group["groupName"]: group for group in one["workerGroupSpecs"]}
        assert set(groups) == {"cpu", "gpu"}
        assert one["enableInTreeAutoscaling"] is True
        assert all(group["minReplicas"] < group["maxReplicas"] for group in groups.values())
        (container,) = groups["gpu"]["template"]["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert one["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert made[1] == made[2]


def test_versions_are_those_that_are_pinned():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    assert {one["rayVersion"] for one in clusters()} == {pins["ray"]}
    version = re.search(r"^version = (.+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)[1]
    images = set(re.findall(r"registry\.example\.org/textmill\S*:(\S+)", "".join(p.read_text() for p in CLUSTER.rglob("*.yaml"))))
    assert images == {version}


def test_the_cluster_file_of_ray_is_what_ray_asks_for():
    import ray.autoscaler

    path = CLUSTER / "ray" / "cluster.yaml"
    config = yaml.safe_load(path.read_text())
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(config)
    assert config["head_node_type"] in config["available_node_types"]
    kinds = {name: kind["resources"] for name, kind in config["available_node_types"].items()}
    assert kinds["gpu"]["GPU"] == 1
    assert "GPU" not in kinds["cpu"]
    most = sum(kind["max_workers"] for kind in config["available_node_types"].values())
    assert config["max_workers"] == most


def test_the_job_file_in_the_manifest_is_right(tmp_path):
    conf, _ = documents(CLUSTER / "kubernetes" / "config.yaml")
    path = tmp_path / "nightly.toml"
    path.write_text(conf["data"]["nightly.toml"])
    config = load_night(path)
    assert isinstance(config.tag, TagConfig)
    assert str(config.tag.output).startswith("/mnt/textmill/")
    port = int(config.watch.http.rpartition(":")[2])
    deployment, service = documents(CLUSTER / "kubernetes" / "watch.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == service["spec"]["ports"][0]["port"] == port
    assert tomllib.loads(conf["data"]["nightly.toml"])["tag"]["workers"] > 0


def commands():
    """Every call of textmill in `cluster/`, as words."""
    for path in MANIFESTS:
        for one in documents(path):
            yield from _commands(one)
    for path in [*CLUSTER.glob("systemd/*.service"), *CLUSTER.glob("cron/*"), *CLUSTER.glob("airflow/*.py")]:
        for found in re.findall(r"(?:bin/|\")textmill ((?:nightly|watch|submit) [^>|\n]*)", path.read_text()):
            yield shlex.split(found.replace("{CONF}", "conf").replace("{ADDRESS}", "address").replace("{{{{ ds }}}}", "ds"))


def _commands(one):
    if isinstance(one, dict):
        if one.get("command", [""])[0] == "textmill":
            yield one["command"][1:]
        if str(one.get("entrypoint", "")).startswith("textmill "):
            yield shlex.split(one["entrypoint"])[1:]
        for value in one.values():
            yield from _commands(value)
    elif isinstance(one, list):
        for value in one:
            yield from _commands(value)


def test_the_commands_exist_with_their_options():
    from typer.main import get_command

    from jobs.cli import app

    found = list(commands())
    assert {words[0] for words in found} == {"nightly", "submit", "watch"}
    assert len(found) >= 8
    for words in found:
        verb = get_command(app).commands[words[0]]
        options = {name for parameter in verb.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words
    assert typer.testing.CliRunner().invoke(app, ["nightly", "--help"]).exit_code == 0


def test_the_dag_compiles(tmp_path):
    for path in CLUSTER.glob("airflow/*.py"):
        py_compile.compile(str(path), str(tmp_path / "out.pyc"), doraise=True)
        compile(path.read_text(), str(path), "exec", dont_inherit=True)


@pytest.fixture
def manifest():
    spec = importlib.util.spec_from_file_location("textmill_manifest", CLUSTER / "airflow" / "textmill_manifest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sensor_believes_the_manifest(manifest, tmp_path):
    from pipeline.nightly.night import run_night
    from pipeline.nightly.reporting import ChildReporter
    from tests.support.counting_report import Here

    out, day = tmp_path / "out", str(DAYS[0])
    assert manifest.state_of(str(out), day) == "open"
    write_day(tmp_path / "data", DAYS[0])
    config = config_of(tmp_path, tmp_path / "data", out)
    for name, state in (("dying", "open"), ("empty", "failed")):
        with pytest.raises(Exception, match="report"):
            run_night(config, DAYS[0], ChildReporter(f"tests.pipeline.nightly.test_nights:{name}", 0), lambda text: None)
        assert manifest.state_of(str(out), day) == state
    with pytest.raises(FileNotFoundError):
        manifest.current_report(str(out), day)
    run_night(config, DAYS[0], Here(), lambda text: None)
    assert manifest.state_of(str(out), day) == "finished"
    write_day(tmp_path / "data", DAYS[0], 2, "late")
    run_night(config, DAYS[0], Here(), lambda text: None)
    folder = manifest.current_report(str(out), day)
    assert "/r0002-" in folder
    assert (Path(folder) / "counts.parquet").exists()


def test_of_two_nights_within_a_second_the_later_one_counts(manifest, tmp_path):
    from pipeline.nightly.record import new_night, nights_of, write_night
    from pipeline.store.local import LocalStore

    first = new_night(DAYS[0], "UTC", None)
    begun = datetime.fromisoformat(first.started)
    store = LocalStore(tmp_path)
    for later, (name, code) in enumerate((("f", 3), ("0", 2))):
        first.run, first.exit_code = f"20260101T000000Z-{name}", code
        first.started = (begun + timedelta(microseconds=later)).isoformat()
        write_night(store, first)
    assert [night["exit_code"] for night in nights_of(store, DAYS[0])] == [3, 2]
    assert manifest.state_of(str(tmp_path), str(DAYS[0])) == "failed"


def test_nothing_in_it_can_be_imported_by_the_package():
    names = {path.stem for path in CLUSTER.rglob("*.py")}
    for path in [*(ROOT / "jobs").glob("*.py"), *(ROOT / "pipeline").rglob("*.py")]:
        text = path.read_text()
        assert "cluster." not in re.findall(r"(?:import|from) (\S+)", text)
        assert not names & set(re.findall(r"(?:import|from) (\w+)", text))
    assert not (CLUSTER / "__init__.py").exists()


def test_units_of_systemd_are_right():
    if which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    units = [str(path) for path in sorted(CLUSTER.glob("systemd/*.service"))]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    wrong = [line for line in done.stderr.splitlines() if "textmill" in line and "is not executable" not in line]
    assert not wrong, wrong


def test_the_crontab_has_one_line_with_a_user():
    (line,) = [one for one in (CLUSTER / "cron" / "textmill").read_text().splitlines() if one[:1].isdigit()]
    fields = line.split()
    assert (fields[:6], re.findall(r"(?<!\\)%", line)) == (["30", "0", "*", "*", "*", "textmill"], [])
    shell = line.split(" textmill cd ", 1)[1].replace("\\%", "%")
    script = f"cd {shell}"
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    assert sys.version_info >= (3, 11)
