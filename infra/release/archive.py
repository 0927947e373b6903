"""Packs files into a ZIP that is the same whenever they are, and unpacks one so that what could run can.

    archive.py pack ZIP FOLDER FILE…      each FILE within FOLDER
    archive.py unpack ZIP FOLDER          into a new FOLDER

Names are sorted and times are 1980, in the ZIP and on disk: a deployment names a function's code by a digest that has the time of its
file in it, so the same release is the same code whoever deploys it.
"""

from __future__ import annotations

import argparse
import calendar
import os
import zipfile
from pathlib import Path, PurePosixPath

EPOCH = (1980, 1, 1, 0, 0, 0)
UNIX = 3


def pack(archive: Path, folder: Path, names: list[str]) -> None:
    """Writes `names` of `folder` into a new archive."""
    with zipfile.ZipFile(archive, "x", zipfile.ZIP_DEFLATED, compresslevel=9) as into:
        for name in sorted(str(PurePosixPath(name)) for name in names):
            file = folder / name
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = UNIX
            entry.external_attr = (0o100755 if os.access(file, os.X_OK) else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            into.writestr(entry, file.read_bytes())


def unpack(archive: Path, folder: Path) -> None:
    """Writes what is in an archive into a folder that isn't there yet."""
    folder.mkdir(parents=True)
    seconds = calendar.timegm(EPOCH)
    with zipfile.ZipFile(archive) as of:
        for entry in of.infolist():
            file = Path(of.extract(entry, folder))
            if not entry.is_dir():
                file.chmod(entry.external_attr >> 16 & 0o755)
                os.utime(file, (seconds, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    for name in ("pack", "unpack"):
        command = commands.add_parser(name)
        command.add_argument("archive", type=Path)
        command.add_argument("folder", type=Path)
        if name == "pack":
            command.add_argument("files", nargs="+")
    asked = parser.parse_args()
    if asked.command == "pack":
        pack(asked.archive, asked.folder, asked.files)
    else:
        unpack(asked.archive, asked.folder)


if __name__ == "__main__":
    main()
