#!/usr/bin/env python3
"""Prints CHANGELOG.md as a Debian changelog.

    changelog.py SOURCE VERSION MAINTAINER TIME        TIME: of this version, in seconds since 1970

What stands under "Unreleased" belongs to the version that is being packaged. A released version's heading is "## 1.2.3" with its date
behind it in any form that has YYYY-MM-DD.
"""

import re
import sys
import textwrap
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path

HEADING = re.compile(r"^## \[?(?P<version>Unreleased|\d+\.\d+\.\d+[^\]\s]*)\]?(?:.*?(?P<date>\d{4}-\d{2}-\d{2}))?")


def releases(text):
    """(version, date, items) in the order of the file."""
    found = []
    for line in text.splitlines():
        heading = HEADING.match(line)
        if heading:
            found.append((heading["version"], heading["date"], []))
        elif line.startswith("## "):
            sys.exit(f"changelog.py: what version is {line!r}?")
        elif not found:
            continue
        elif line.startswith("- "):
            found[-1][2].append(line[2:].strip())
        elif line.startswith("  ") and found[-1][2]:
            found[-1][2][-1] += " " + line.strip()
    return found


def plain(item):
    """Markdown as text: a link by its words, no asterisks or backquotes."""
    item = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", item)
    return item.replace("`", "").replace("**", "")


def entry(source, version, items, maintainer, time):
    lines = [f"{source} ({version}) unstable; urgency=medium", ""]
    for item in items:
        lines += textwrap.wrap(plain(item), width=78, initial_indent="  * ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines + ["", f" -- {maintainer}  {format_datetime(time)}", ""])


def main(source, version, maintainer, time):
    upstream, _, revision = version.rpartition("-")
    found = releases(Path("CHANGELOG.md").read_text(encoding="utf-8"))
    now = datetime.fromtimestamp(int(time), timezone.utc)
    current = [item for name, _, items in found if name in ("Unreleased", upstream.replace("~", "-")) for item in items]
    # Right after a release there is nothing yet.
    entries = [entry(source, version, current or ["No change yet."], maintainer, now)]
    for name, date, items in found:
        if name in ("Unreleased", upstream.replace("~", "-")):
            continue
        if not date:
            sys.exit(f"changelog.py: {name} of CHANGELOG.md has no date")
        then = datetime.fromisoformat(date).replace(tzinfo=timezone.utc)
        entries.append(entry(source, f"{name.replace('-', '~', 1)}-{revision}", items, maintainer, then))
    print("\n".join(entries), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
