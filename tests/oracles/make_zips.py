#!/usr/bin/env python3
"""Odd ZIP archives, read by unzip, Python, Java and libarchive, and judged by `gatekeeper check`.

What the gate takes must be the same entries with the same bytes to every reader. Ends with 1 where it is not. The
command is `$GATEKEEPER`, else the debug build. Seen with unzip 6.00, Python 3.11, Java 17 and libarchive 3.6.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "3f1c9a0b5d7e2468ace013579bdf02468ace1357"
UNIX, FAT = 0x0314, 0x0014
DATA = b"exports.handler = async () => ({})"
READ = """
import java.util.zip.*; import java.io.*;
public class Read { public static void main(String[] names) throws Exception { for (String name : names) {
  var files = new java.util.TreeMap<String, String>();
  try (var zip = new ZipInputStream(new FileInputStream(name))) { ZipEntry entry;
    while ((entry = zip.getNextEntry()) != null) { var bytes = zip.readAllBytes(); if (!entry.isDirectory())
      files.put(entry.getName(), Integer.toString(java.util.Arrays.hashCode(bytes)) + " " + bytes.length); } }
  catch (IOException refused) { files.clear(); files.put("refused", refused.toString()); }
  System.out.println(files.containsKey("refused") ? "refused" : String.join("\\t", files.keySet())); } } }
"""


@dataclass
class Entry:
    """An entry, honest by default, and what may be odd about it."""

    name: str
    data: bytes = DATA
    mode: int = 0o100644
    made: int = UNIX
    attributes: int = 0
    internal: int = 0
    flags: int | None = None
    local: bytes = b""
    central: bytes = b""
    comment: bytes = b""
    wide: bool = False
    streamed: bool = False


def field(kind: int, content: bytes) -> bytes:
    """An extra field."""
    return struct.pack("<HH", kind, len(content)) + content


def archive(entries: list[Entry], comment: bytes = b"") -> bytes:
    """The archive of these entries."""
    out = directory = b""
    for it in entries:
        squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = squeezed.compress(it.data) + squeezed.flush()
        name, crc, offset = it.name.encode(), zlib.crc32(it.data), len(out)
        flags = (0 if name.isascii() else 0x800) if it.flags is None else it.flags
        sizes, local, behind = (crc, len(body), len(it.data)), it.local, b""
        if it.streamed:
            flags |= 8
            behind = b"PK\x07\x08" + struct.pack("<IQQ" if it.wide else "<III", crc, len(body), len(it.data))
            sizes = (0, 0xFFFFFFFF, 0xFFFFFFFF) if it.wide else (0, 0, 0)
            local += field(1, bytes(16)) if it.wide else b""
        out += struct.pack("<IHHHIIIIHH", 0x04034B50, 20, flags, 8, 0x5C420000, *sizes, len(name), len(local)) + name + local + body + behind
        directory += struct.pack("<IHHHHIIIIHHHHHII", 0x02014B50, it.made, 20, flags, 8, 0x5C420000, crc, len(body), len(it.data), len(name),
                                 len(it.central), len(it.comment), 0, it.internal, it.mode << 16 | it.attributes, offset)
        directory += name + it.central + it.comment
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(entries), len(entries), len(directory), len(out), len(comment))
    return out + directory + end + comment


def odd() -> dict[str, bytes]:
    """The archives by what is odd about them."""
    main, other = Entry("index.js"), Entry("other.js", b"other")
    links = field(0x756E, struct.pack("<IHIHH", 0, 0o120777, 3, 0, 0) + b"tgt")
    ones = {
        "nothing": main,
        "a version of VMS": replace(main, name="lib.js;1"),
        "a bare semicolon": replace(main, name="lib.js;"),
        "a semicolon in a folder": replace(main, name="a;1/b.js"),
        "a volume label": replace(main, made=FAT, mode=0, attributes=8),
        "a name by FAT": replace(main, name="ü.js", made=FAT, mode=0),
        "a name by Unix": replace(main, name="ü.js"),
        "a name without its flag": replace(main, name="ü.js", flags=0),
        "a byte order mark": replace(main, name="\ufefflib.js"),
        "another internal attribute": replace(main, internal=4),
        "a link in an extra field": replace(main, local=links, central=links),
        "a mode of nobody": replace(main, mode=0o100600),
        "no mode": replace(main, mode=0),
        "an end in an entry's comment": replace(main, comment=b"PK\x05\x06" + bytes(18)),
        "an empty streamed entry": replace(main, data=b"", streamed=True),
        "an empty wide streamed entry": replace(main, data=b"", streamed=True, wide=True),
        "a `.` component": replace(main, name="./lib.js"),
    }
    archives = {what: archive([entry, other]) for what, entry in ones.items()}
    archives["an end in the comment"] = archive([main, other], b"see PK\x05\x06 above")
    archives["one name in two normal forms"] = archive([replace(main, name="\u00fc.js"), replace(other, name="u\u0308.js")])
    return archives


def is_taken(folder: Path, content: bytes) -> bool:
    """Whether the gate takes the archive as a bundle of a runtime that it knows no files of."""
    module = folder / "modules/MOD-901"
    digest = hashlib.sha256(content).hexdigest()
    code = {"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": {"Fn::Sub": "${ArtefactPrefix}/functions/probe.zip"}}
    properties = {"Runtime": "java21", "Handler": "a.B", "Role": {"Ref": "RoleArn"}, "Code": code}
    template = json.dumps({"Parameters": {name: {"Type": "String"} for name in ("ArtefactBucket", "ArtefactPrefix", "RoleArn")},
                           "Resources": {"Fn": {"Type": "AWS::Lambda::Function", "Properties": properties}}}).encode()
    for path, body in ((module / "functions/probe.zip", content), (module / "cloudformation/probe.json", template)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    stack = {"name": "probe", "sha256": hashlib.sha256(template).hexdigest(), "size": len(template)}
    function = {"name": "probe", "sha256": digest, "size": len(content), "stack": "probe", "logical_id": "Fn"}
    manifest = {"schema_version": 1, "repo": "bank-probe", "commit_sha": COMMIT, "branch": "main", "timestamp": "2026-05-02T03:04:05Z",
                "modules": [{"id": "MOD-901", "functions": [function], "stacks": [stack]}]}
    (folder / "build-manifest.json").write_text(json.dumps(manifest))
    command = [os.environ.get("GATEKEEPER", ROOT / "target/debug/gatekeeper"), "check", folder, "--output", "json", "--expect", "registered"]
    verdict = json.loads(subprocess.run(command, check=False, capture_output=True, text=True).stdout)
    return not any(reason["code"].startswith("zip-") for reason in verdict["reasons"])


def unpacked(command: list[str], folder: Path) -> str:
    """The files that a program unpacks to, each readable; or that it refuses."""
    folder.mkdir()
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o004)
    return "\t".join(files) if done.returncode <= 1 else "refused"


def main() -> int:
    """Compares all readers on all archives."""
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "Read.java").write_text(READ)
        for number, (what, content) in enumerate(odd().items()):
            path = folder / f"{number}.zip"
            path.write_bytes(content)
            try:
                python = "\t".join(sorted(name for name in zipfile.ZipFile(path).namelist() if not name.endswith("/")))
            except zipfile.BadZipFile:
                python = "refused"
            java = subprocess.run(["java", folder / "Read.java", path], check=True, capture_output=True, text=True).stdout.strip()
            readers = {
                "python": python, "java": java,
                "unzip": unpacked(["unzip", "-q", str(path)], folder / f"{number}-unzip"),
                "bsdtar": unpacked(["bsdtar", "-xf", str(path)], folder / f"{number}-bsdtar"),
            }
            alike, taken = len(set(readers.values())) == 1, is_taken(folder / f"{number}-build", content)
            if taken and not alike:
                wrong += 1
            print(f"{'WRONG' if taken and not alike else 'ok':6}{'taken' if taken else 'refused':9}{'alike' if alike else 'differ':8}{what}")
            if not alike:
                print("".join(f"{'':23}{reader}: {names!r}\n" for reader, names in readers.items()), end="")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
