"""An applicant learns what the cluster would refuse before anything is filed."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from workflows.cli.application import app

PAPERS = Path("experiments/ride_dispatch")


@pytest.fixture(name="papers")
def _papers(tmp_path):
    """The application of the experiment with its manifests, to be spoiled."""
    folder = tmp_path / "papers"
    shutil.copytree(PAPERS, folder, ignore=shutil.ignore_patterns("results", "*.py"))
    return folder


def check(settings, papers, *more):
    arguments = ["check", str(papers / "application.yaml"), "--output", "json", *more]
    result = CliRunner().invoke(app, [*arguments, "--home", str(settings.home)])
    assert result.stdout, repr(result.exception)
    return result.exit_code, json.loads(result.stdout)


def deployment(name, pod=None, **container):
    usual = {"name": name, "image": "hotrod", "args": ["all"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{**usual, **container}], **(pod or {})},
            },
        },
    }


SPOILED = [
    deployment("root", securityContext={"runAsUser": 0, "runAsNonRoot": False}),
    deployment("port", ports=[{"containerPort": 80, "hostPort": 80}]),
    deployment("host", pod={"hostNetwork": True}),
    deployment("other", image="docker.io/library/nginx:latest"),
    deployment("many") | {"spec": {**deployment("many")["spec"], "replicas": 13}},
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "open"},
        "spec": {
            "type": "NodePort",
            "selector": {"app": "root"},
            "ports": [{"port": 1}],
        },
    },
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "typo"},
        "dta": {"a": "b"},
    },
    {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "kept"}},
]


@pytest.mark.usefixtures("servers")
def test_the_experiment_would_be_admitted(settings, cluster, papers):
    """Every object and every pod of a good system is admitted, and nothing stays."""
    before = {item["metadata"]["name"] for item in cluster.find("v1", "Namespace")}
    code, found = check(settings, papers)
    assert [item for item in found if item["refused_by"]] == []
    assert code == 0 and len(found) == 12
    after = {item["metadata"]["name"] for item in cluster.find("v1", "Namespace")}
    assert after - before <= {"sandbox-control"}


@pytest.mark.usefixtures("servers")
def test_every_refusal_is_said_at_once_with_its_policy(settings, papers):
    """Each spoiled object is refused by the check that is meant, the others are not."""
    (papers / "system" / "spoiled.yaml").write_text(yaml.safe_dump_all(SPOILED))
    code, found = check(settings, papers)
    refused = {
        (item["item"], item["refused_by"]) for item in found if item["refused_by"]
    }
    assert code == 1
    assert refused == {
        ("manifests", "system/kind-not-taken"),
        ("manifests", "system/privilege"),
        ("manifests", "system/image-not-declared"),
        ("pods of Deployment root", 'PodSecurity "restricted:v1.36"'),
        ("Deployment root", "regulatory-sandbox-pods"),
        ("Deployment port", "regulatory-sandbox-pods"),
        ("pods of Deployment port", 'PodSecurity "restricted:v1.36"'),
        ("pods of Deployment host", 'PodSecurity "restricted:v1.36"'),
        ("Deployment other", "regulatory-sandbox-decision"),
        ("pods of Deployment other", "regulatory-sandbox-decision"),
        ("Service open", "regulatory-sandbox-services"),
        ("ConfigMap typo", "Kubernetes schema"),
        ("all pods together", "quota: system"),
    }
    assert all(item["why"] and item["remedy"] for item in found if item["refused_by"])


@pytest.mark.usefixtures("servers")
def test_a_rule_about_objects_is_asked_as_well(settings, papers):
    """Published nowhere yet, it is asked from its file; the cluster itself admits."""
    rules = papers / "rulebook.yaml"
    book = yaml.safe_load(rules.read_text())
    book["rules"].append(
        {
            **copy.deepcopy(book["rules"][0]),
            "rule": "dispatch/one-copy",
            "text": "Each part of a dispatch shall run once.",
            "about": "object",
            "objects": {"api_groups": ["apps"], "resources": ["deployments"]},
            "applies": "true",
            "requires": "object.spec.replicas <= 1",
        }
    )
    rules.write_text(yaml.safe_dump(book, sort_keys=False))
    twice = deployment("twice", resources={"limits": {"cpu": "1", "memory": "64Mi"}})
    twice["spec"]["replicas"] = 2
    (papers / "system" / "twice.yaml").write_text(yaml.safe_dump(twice))
    code, found = check(settings, papers, "--rulebook", str(rules))
    (refused,) = [item for item in found if item["refused_by"]]
    assert code == 1
    assert refused["item"] == "Deployment twice"
    assert refused["refused_by"] == "rule dispatch/one-copy"
    assert "Each part of a dispatch shall run once." in refused["why"]
    assert "collides_with" in refused["remedy"]
