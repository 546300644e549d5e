#!/usr/bin/python3
"""Holds the files of packaging/ and META.json to what they must fit: make package-lint.

Debian's own Python, for its yaml and jsonschema. Says everything that is wrong, and ends with 1 if anything is.
"""

import glob
import json
import re
import sys
import tomllib
from pathlib import Path

import jsonschema
import yaml

SCHEMAS = Path("packaging/schemas")
problems = []


def problem(place, text):
    problems.append(f"{place}: {text}")


def judge(place, validator, document):
    for error in validator.iter_errors(document):
        problem(f"{place} at {'.'.join(map(str, error.absolute_path)) or 'the top'}", error.message)


def control_file():
    lines = Path("walwarden.control").read_text(encoding="utf-8").splitlines()
    return dict(re.fullmatch(r"(\w+) = '?(.*?)'?", line).groups() for line in lines if line and not line.startswith("#"))


def check_meta():
    """META.json by PGXN's schema, and what it says against what Cargo.toml, the control file and the folders say."""
    meta = json.loads(Path("META.json").read_text(encoding="utf-8"))
    # Character classes as Python's expressions have them.
    classes = {r"\\p{Space}": r"\\s", r"\\p{Cntrl}": r"\\x00-\\x1f\\x7f", r"\\p{lower}": "[a-z]", "[:digit:]": "0-9"}
    texts = [path.read_text(encoding="utf-8") for path in (SCHEMAS / "pgxn-v1").glob("*.json")]
    schemas = [json.loads(re.sub(r"\\\\p\{\w+\}|\[:\w+:\]", lambda match: classes[match[0]], text)) for text in texts]
    store = {schema["$id"]: schema for schema in schemas}
    top = store["https://pgxn.org/meta/v1/distribution.schema.json"]
    judge("META.json", jsonschema.Draft202012Validator(top, resolver=jsonschema.RefResolver.from_schema(top, store=store)), meta)

    cargo = tomllib.loads(Path("Cargo.toml").read_text(encoding="utf-8"))
    package, control = cargo["package"], control_file()
    version = cargo["workspace"]["package"]["version"]
    if list(meta["provides"]) != [package["name"]]:
        problem("META.json", f"provides {list(meta['provides'])}, and the extension is {package['name']}")
        return
    provided = meta["provides"][package["name"]]
    licences = {"Apache-2.0": "apache_2_0"}
    for name, got, wanted in [
        ("name", meta["name"], package["name"]),
        ("version", meta["version"], version),
        ("provides.version", provided["version"], version),
        ("abstract", meta["abstract"], package["description"]),
        ("provides.abstract", provided["abstract"].lower(), control["comment"].lower()),
        ("license", meta["license"], licences[cargo["workspace"]["package"]["license"]]),
    ]:
        if got != wanted:
            problem("META.json", f"{name} is {got!r}, not {wanted!r}")
    if control["default_version"] not in ("@CARGO_VERSION@", version):
        problem("walwarden.control", f"default_version is {control['default_version']}, and Cargo.toml says {version}")
    oldest = min(int(feature[2:]) for feature in package_features(cargo))
    if meta["prereqs"]["runtime"]["requires"]["PostgreSQL"] != f"{oldest}.0.0":
        problem("META.json", f"the oldest PostgreSQL is {oldest}")
    for path in (provided["file"], provided["docfile"]):
        if not Path(path).is_file():
            problem("META.json", f"there is no file {path}")


def package_features(cargo):
    return [feature for feature in cargo["features"] if re.fullmatch(r"pg\d+", feature)]


def strict(schema):
    """A CustomResourceDefinition's schema as `kubectl apply` takes it: a field that it does not name is an error."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(part) for name, part in schema.items()}
    # A field may itself be called properties: then its value has no list of fields, but a schema of its own.
    if made.get("type") == "object" and "properties" in made and "additionalProperties" not in made:
        made["additionalProperties"] = bool(made.get("x-kubernetes-preserve-unknown-fields"))
    return made


def kubernetes_schemas():
    made = {}
    for kind, file in (("Cluster", "cnpg-clusters.json"), ("Database", "cnpg-databases.json")):
        schema = strict(json.loads((SCHEMAS / file).read_text(encoding="utf-8")))
        schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
        made["postgresql.cnpg.io/v1", kind] = schema
    made["v1", "Secret"] = {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": "v1"},
            "kind": {"const": "Secret"},
            "metadata": {"type": "object", "required": ["name"]},
            "type": {"type": "string"},
            "data": {"type": "object", "additionalProperties": {"type": "string"}},
            "stringData": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    return made


def check_kubernetes():
    schemas = kubernetes_schemas()
    files = sorted(Path("packaging/kubernetes").glob("*.yaml"))
    documents = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        # As it stands, and with what is commented out as the other choice.
        choices = re.sub(r"^(  )# (\S+:$|  +\S.*)$", r"\1\2", text, flags=re.MULTILINE)
        for place, content in ((str(path), text), (f"{path}, with the other choices", choices)):
            for document in yaml.safe_load_all(content):
                kind = (document.get("apiVersion"), document.get("kind"))
                if kind not in schemas:
                    problem(place, f"{kind} is nothing that is known here")
                    continue
                judge(f"{place}, {kind[1]}", jsonschema.Draft202012Validator(schemas[kind]), document)
                documents.append((place, document))
    secrets = {document["metadata"]["name"] for _, document in documents if document["kind"] == "Secret"}
    clusters = {document["metadata"]["name"] for _, document in documents if document["kind"] == "Cluster"}
    for place, document in documents:
        spec = document.get("spec", {})
        for source in spec.get("envFrom", []):
            if source["secretRef"]["name"] not in secrets:
                problem(place, f"no file has the Secret {source['secretRef']['name']}")
        if document["kind"] == "Database" and spec["cluster"]["name"] not in clusters:
            problem(place, f"no file has the Cluster {spec['cluster']['name']}")
        if document["kind"] == "Cluster" and "walwarden" not in spec.get("postgresql", {}).get("shared_preload_libraries", []):
            problem(place, "walwarden is not preloaded")


def check_dockerfile():
    """Every file that is copied into the image exists, every stage that is copied from, and every argument that is used."""
    path = "packaging/docker/Dockerfile"
    text = re.sub(r"\\\n", " ", Path(path).read_text(encoding="utf-8"))
    stages, arguments = set(), set()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "ARG":
            arguments.add(words[1].partition("=")[0])
        for name in re.findall(r"\$\{(\w+)\}", line):
            if name not in arguments:
                problem(path, f"{name} is no argument before {line!r}")
        if words[0] == "FROM" and "AS" in words:
            stages.add(words[words.index("AS") + 1])
        elif words[0] == "COPY":
            stage = words[1].removeprefix("--from=")
            if words[1].startswith("--from="):
                if stage not in stages:
                    problem(path, f"there is no stage {stage} before {line!r}")
                continue
            for source in words[1:-1]:
                if not glob.glob(source):
                    problem(path, f"there is no {source} to copy")
    wanted = tomllib.loads(Path("rust-toolchain.toml").read_text(encoding="utf-8"))["toolchain"]["channel"]
    image = re.search(r"^FROM rust:([\d.]+)-bookworm", text, re.MULTILINE)
    if not image or not (wanted + ".").startswith(image[1] + "."):
        problem(path, f"its image of Rust is not the {wanted} of rust-toolchain.toml")
    major = re.search(r"^ARG PG_MAJOR=(\d+)$", text, re.MULTILINE)
    if not major or f"pg{major[1]}" not in package_features(tomllib.loads(Path("Cargo.toml").read_text(encoding="utf-8"))):
        problem(path, "PG_MAJOR is no version that walwarden has")


if __name__ == "__main__":
    check_meta()
    check_kubernetes()
    check_dockerfile()
    for text in problems:
        print(text, file=sys.stderr)
    sys.exit(1 if problems else 0)
