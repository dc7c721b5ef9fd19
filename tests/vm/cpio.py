# SPDX-License-Identifier: Apache-2.0
"""Writes cpio archives in the "newc" format (Linux: Documentation/driver-api/early-userspace).

The same files give the same bytes. Archives may follow one another in one initramfs.
"""
import os
import stat

_DIRECTORY, _LINK, _FILE = stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777, stat.S_IFREG


class Tree:
    """A file tree in the making; paths are the guest's and absolute. A later file replaces an
    earlier one, parents come by themselves."""

    def __init__(self):
        self._entries = {}  # path -> (mode, mtime, content: bytes or a host path)

    def _add(self, path, mode, content=b"", mtime=0):
        path = os.path.normpath(path).strip("/")
        parent = os.path.dirname(path)
        if parent and parent not in self._entries:
            self.directory(parent)
        self._entries[path] = (mode, mtime, content)

    def __contains__(self, path):
        return os.path.normpath(path).strip("/") in self._entries

    def directory(self, path):
        """An empty directory, unless it is there."""
        if path not in self:
            self._add(path, _DIRECTORY)

    def link(self, path, target):
        """A symbolic link."""
        self._add(path, _LINK, target.encode())

    def text(self, path, content, mode=0o644):
        """A small file."""
        self.data(path, content.encode(), mode)

    def data(self, path, content, mode=0o644, mtime=0):
        """A file with this content."""
        self._add(path, _FILE | mode, content, mtime)

    def copy(self, path, source):
        """A host's file. Python believes its caches only with the original time."""
        status = os.stat(source)
        self._add(path, _FILE | status.st_mode & 0o777, source, int(status.st_mtime))

    def write(self, out):
        """Appends the archive to a binary file."""
        for number, path in enumerate(sorted(self._entries), start=1):
            mode, mtime, content = self._entries[path]
            if isinstance(content, str):
                with open(content, "rb") as source:
                    content = source.read()
            _entry(out, number, path, mode, mtime, content)
        _entry(out, 0, "TRAILER!!!", 0, 0, b"")


def _entry(out, number, path, mode, mtime, content):
    """Header, name and content, each padded to four bytes (a sorted parent comes first)."""
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, mtime, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    out.write(header + name + bytes(-(len(header) + len(name)) % 4))
    out.write(content)
    out.write(bytes(-len(content) % 4))
