#!/usr/bin/env python3
"""Prints a machine-readable debian/copyright (DEP-5) for a program of this workspace and all that is linked into it.

    copyright.py PACKAGE [FEATURES]        (the working directory is the root of the sources)

What is linked comes from `cargo metadata`: normal dependencies for this machine's target, and macros whose expansions are compiled in,
but not what these macros are themselves built from. Copyright lines and licence texts come from the files of the crates; a licence that is
named somewhere and whose text is nowhere is an error.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

# What Debian has in /usr/share/common-licenses is referred to; everything else is printed.
COMMON = {
    "Apache-2.0": "Apache-2.0",
    "CC0-1.0": "CC0-1.0",
    "GPL-2.0-only": "GPL-2",
}
# Words that tell a licence. Of a family, the text of the first has the words of the others too.
FAMILIES = [
    [("LLVM-exception", r"LLVM Exceptions to the Apache 2\.0 License"), ("Apache-2.0", r"Apache License,? Version 2\.0, January 2004")],
    [("GPL-2.0-only", r"GNU GENERAL PUBLIC LICENSE Version 2")],
    [("CC0-1.0", r"CC0 1\.0 Universal")],
    [("Unicode-3.0", r"UNICODE LICENSE V3")],
    [("BSL-1.0", r"Boost Software License - Version 1\.0")],
    [("CDLA-Permissive-2.0", r"Community Data License Agreement - Permissive - Version 2\.0")],
    [("Unlicense", r"This is free and unencumbered software")],
    [("Zlib", r"This software is provided 'as-is', without any express or implied")],
    [("BSD-3-Clause", r"Redistributions? of source code must retain.*Neither the name"), ("BSD-2-Clause", r"Redistributions? of source code must retain")],
    [("MIT", r"to any person obtaining a copy of this software.*The above copyright notice and this permission notice"), ("MIT-0", r"to any person obtaining a copy of this software")],
    [("ISC", r"Permission to use, copy, modify, and/or distribute this software.*provided that"), ("0BSD", r"Permission to use, copy, modify, and/or distribute this software")],
]
LICENCE_FILE = re.compile(r"^(UN)?LICEN[CS]E|^COPYING|^COPYRIGHT|^NOTICE", re.IGNORECASE)
NOT_LINKED = {"test", "tests", "benches", "examples", "fuzz", "docs", "target", ".git"}
COPYRIGHT = re.compile(r"^\W*((?:Copyright\s+|©\s*|\([cC]\)\s+(?=\d|Copyright))\S.*?)[\s*#/]*$")
NO_COPYRIGHT = re.compile(r"\[yyyy\]|\{yyyy\}|<year>|Free Software Foundation|copyright[ -](licen[cs]e|notice|holder|owner|and related|statement|status|law|interest)", re.IGNORECASE)


def metadata(features):
    host = re.search(r"^host: (.*)$", run("rustc", "--version", "--verbose"), re.MULTILINE).group(1)
    arguments = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={host}"]
    if features:
        arguments += ["--no-default-features", f"--features={features}"]
    return json.loads(run(*arguments))


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def linked(found, name):
    """The packages that are linked into the workspace's package `name`, without the workspace's own."""
    packages = {package["id"]: package for package in found["packages"]}
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    roots = [id for id in found["workspace_members"] if packages[id]["name"] == name]
    if len(roots) != 1:
        sys.exit(f"copyright.py: the workspace has no package {name}")
    seen, waiting = set(), roots
    while waiting:
        id = waiting.pop()
        if id in seen:
            continue
        seen.add(id)
        if any("proc-macro" in target["kind"] for target in packages[id]["targets"]):
            continue
        waiting += [dep["pkg"] for dep in nodes[id]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
    return sorted((packages[id] for id in seen if packages[id]["source"]), key=lambda package: (package["name"], package["version"]))


def licence_files(package):
    root = Path(package["manifest_path"]).parent
    found = [path for path in root.rglob("*") if LICENCE_FILE.match(path.name) and path.is_file()]
    named = package["license_file"] and root / package["license_file"]
    if named and named.is_file() and named not in found:
        found.append(named)
    for path in sorted(found):
        inside = path.relative_to(root)
        # A module may be called license.rs, and tests are not linked.
        if path.suffix in {".rs", ".c", ".h", ".py", ".html"} or NOT_LINKED.intersection(inside.parts[:-1]):
            continue
        yield path.read_text(encoding="utf-8-sig", errors="replace").replace("\r\n", "\n").strip("\n")


def without_apache(text):
    """A collection without the Apache licence's own words, which Debian has once."""
    where = "[The Apache License 2.0 stands in /usr/share/common-licenses/Apache-2.0.]"
    return re.sub(r"^[ \t]*TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION$.*?END OF TERMS AND CONDITIONS", where, text, flags=re.DOTALL | re.MULTILINE)


def plain(text):
    return re.sub(r"[\s*]+", " ", text)


def kind_of(text):
    """Which licence a text is; none where it is a collection of several, or a notice."""
    kinds = [next((name for name, mark in family if re.search(mark, plain(text), re.IGNORECASE)), None) for family in FAMILIES]
    kinds = [kind for kind in kinds if kind]
    return kinds[0] if len(kinds) == 1 else None


def copyright_lines(text):
    for line in text.split("\n"):
        match = COPYRIGHT.match(line)
        if match and not NO_COPYRIGHT.search(line):
            yield re.sub(r"\s+", " ", match.group(1))


def without_copyright(text):
    """A text as it is compared: two that differ in who has the copyright are the same licence."""
    lines = [line for line in text.split("\n") if not COPYRIGHT.match(line) and not re.match(r"^\W*All rights reserved\W*$", line, re.IGNORECASE)]
    lines = [line for line in lines if not re.match(r"^\W*(the )?(\w+ )?licen[cs]e( \(\w+\))?\W*$", line, re.IGNORECASE)]
    return re.sub(r"\W+", " ", "\n".join(lines)).strip().lower()


def dep5_expression(package):
    text = package["license"]
    if not text:
        sys.exit(f"copyright.py: {package['name']} {package['version']} names no licence")
    # The / is how Cargo wrote OR before there were expressions. DEP-5 has no brackets: an "and" behind a comma binds weaker than "or".
    text = text.replace("/", " OR ")
    if "(" in text:
        if re.search(r"\([^)]* AND |\([^)]*\(", text):
            sys.exit(f"copyright.py: the licence of {package['name']} cannot be written without brackets: {text}")
        text = re.sub(r" AND ", ", AND ", text).replace("(", "").replace(")", "")
    words = {"OR": "or", "AND": "and", "WITH": "with"}
    return " ".join(words.get(word, word) for word in text.split())


def licence_names(package):
    words = re.split(r"[\s()/]+", package["license"])
    return {word for word in words if word and word not in {"OR", "AND", "WITH"}}


def field(text):
    """The continuation lines of a field: indented, an empty one as a dot, and no control characters."""
    lines = [re.sub(r"[\x00-\x1f]", "", line.rstrip().expandtabs()) for line in text.split("\n")]
    return "\n".join(f" {line}" if line else " ." for line in lines)


def main(name, features=None):
    packages = linked(metadata(features), name)
    files = {package["id"]: list(licence_files(package)) for package in packages}

    # The text that most crates have is the licence's; what differs from it is printed with its crate.
    variants = {}
    for texts in files.values():
        for text in texts:
            kind = kind_of(text)
            if kind and kind not in COMMON:
                variants.setdefault(kind, {}).setdefault(without_copyright(text), []).append(text)
    canonical = {kind: max(texts.items(), key=lambda item: (len(item[1]), item[0])) for kind, texts in variants.items()}

    toolchain = run("rustc", "--version").split()[1]
    print(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: walwarden\n"
        "Comment: Below the program's own paragraph stand the libraries that are linked\n"
        " into it, each under its name and version as published on crates.io.\n"
        "\n"
        "Files: *\n"
        "Copyright: the authors of walwarden\n"
        "License: Apache-2.0\n"
        "\n"
        f"Files: rust-standard-library-{toolchain}/*\n"
        "Copyright: the Rust Project contributors\n"
        "License: MIT or Apache-2.0"
    )
    wanted, collections = {"Apache-2.0", "MIT"}, []
    for package in packages:
        holders, own = [], []
        for text in files[package["id"]]:
            kind = kind_of(text)
            holders += copyright_lines(text)
            if kind in canonical and without_copyright(text) != canonical[kind][0] or not kind:
                own.append(without_apache(text))
                collections.append((package, text))
        holders = list(dict.fromkeys(holders)) or package["authors"] or [f"the authors of {package['name']}"]
        print(f"\nFiles: {package['name']}-{package['version']}/*")
        print("Copyright: " + field("\n".join(holders)).lstrip())
        print(f"License: {dep5_expression(package)}")
        if own:
            print(field("\n\n".join(dict.fromkeys(own))))
        wanted |= licence_names(package)

    for licence in sorted(wanted):
        print(f"\nLicense: {licence}")
        if licence in COMMON:
            print(f" On Debian systems, the full text is in /usr/share/common-licenses/{COMMON[licence]}.")
        elif licence in canonical:
            lines = [line for line in canonical[licence][1][0].split("\n") if not COPYRIGHT.match(line)]
            print(field(without_apache("\n".join(lines).strip("\n"))))
        elif above := next((package for package, text in collections if re.search(rf"\b{re.escape(licence)}\b", text)), None):
            print(f" The text stands above, with {above['name']}-{above['version']}.")
        else:
            sys.exit(f"copyright.py: no crate has the text of {licence}")


if __name__ == "__main__":
    main(*sys.argv[1:])
