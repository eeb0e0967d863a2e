"""The OSTree side of the house: a program of its own, since libostree's Python belongs to the system's interpreter.

Run as ``/usr/bin/python3 -I ostree_helper.py PARENT``: standard library and GObject introspection only (Debian's
``gir1.2-ostree-1.0`` and ``python3-gi``, Fedora's ``ostree-libs`` and ``python3-gobject-base``). One request a line in
JSON on standard input, one answer a line on standard output: ``{"result": …}``, or ``{"error": text}``. Ends with its
standard input, and with the process that started it.

Everything costs what the change costs: a tree is never walked to change it, only the directories on the way to what
changes are loaded (``ostree_mutable_tree_new_from_checksum``). Files belong to 0:0 in the repository, whoever built them.
"""

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import signal
import stat
import sys

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

RECORD = "compatlayer.record"
# ostree-repo-checkout.c keeps these permission bits in a bare-user repository's own files; others need a copy.
ON_DISK = 0o775
CHUNK_BYTES = 1 << 20


class Refusal(Exception):
    """What was asked for cannot be done; the text says why."""


class Repositories:
    """Opened repositories by path, and what is asked of them."""

    def __init__(self):
        self.opened = {}

    def repo(self, path):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            raise Refusal(f"{path} does not exist") from None
        # An opened repository stays open however often its directory is replaced by another.
        key = (path, status.st_dev, status.st_ino)
        if key not in self.opened:
            repo = OSTree.Repo.new(Gio.File.new_for_path(path))
            repo.open(None)
            self.opened[key] = repo
        return self.opened[key]

    def init(self, path):
        """Make a bare-user repository: it keeps owners, modes and attributes beside plain files, and needs no root."""
        os.makedirs(path, exist_ok=True)
        if not os.path.exists(os.path.join(path, "config")):
            OSTree.Repo.new(Gio.File.new_for_path(path)).create(OSTree.RepoMode.BARE_USER, None)
        mode = self.repo(path).get_mode()
        if mode != OSTree.RepoMode.BARE_USER:
            raise Refusal(f"it is a repository of mode {mode.value_nick}, and a bare-user one is needed")

    def refs(self, path):
        repo = self.repo(path)
        repo.reload_config(None)
        return repo.list_refs(None, None)[1]

    def set_ref(self, path, ref, commit):
        """Point a ref at a commit, or with None remove it; atomic, and on disk on return."""
        self.repo(path).set_ref_immediate(None, ref, commit, None)
        file = os.path.join(path, "refs", "heads", ref)
        for name in (file, os.path.dirname(file)):
            if os.path.exists(name):
                descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def log(self, path, commit, limit):
        """A commit and its ancestors, newest first."""
        found = []
        while commit and len(found) < limit:
            ok, state = self._commit(path, commit)
            if not ok:
                break  # its history was collected
            metadata, parent, subject, body, time = state
            found.append({"id": commit, "time": time, "subject": subject, "body": body, "record": metadata.get(RECORD)})
            commit = parent
        return found

    def _commit(self, path, commit):
        try:
            variant = self.repo(path).load_variant(OSTree.ObjectType.COMMIT, commit)[1]
        except GLib.Error as error:
            if error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND):
                return False, None
            raise
        metadata = variant.get_child_value(0)
        record = metadata.lookup_value(RECORD, GLib.VariantType("s"))
        subject, body = variant.get_child_value(3).get_string(), variant.get_child_value(4).get_string()
        known = {RECORD: record.get_string()} if record is not None else {}
        return True, (known, OSTree.commit_get_parent(variant), subject, body, OSTree.commit_get_timestamp(variant))

    def roots(self, path, commit):
        """The two checksums of a commit's root directory: its contents and its metadata."""
        variant = self.repo(path).load_variant(OSTree.ObjectType.COMMIT, commit)[1]
        return [_hex(variant.get_child_value(6)), _hex(variant.get_child_value(7))]

    def write(self, path, root, source, puts, deletes, empty):
        """Carry a change list out on the tree with the checksums ``root`` (None: an empty one); gives the new ones."""
        repo = self.repo(path)
        tree = OSTree.MutableTree.new() if root is None or empty else OSTree.MutableTree.new_from_checksum(repo, *root)
        repo.prepare_transaction(None)
        try:
            for name in deletes:
                holder, last = _walk(tree, name)
                if holder is not None:
                    holder.remove(last, True)
            writer = _Writer(repo, source)
            for put in puts:
                writer.put(tree, put)
            _, file = repo.write_mtree(tree, None)
            repo.commit_transaction(None)
        except BaseException:
            repo.abort_transaction(None)
            raise
        return [file.tree_get_contents_checksum(), file.tree_get_metadata_checksum()]

    def commit(self, path, root, parent, subject, record, time):
        """Make a commit of a written tree. No ref points at it yet."""
        repo = self.repo(path)
        tree = OSTree.MutableTree.new_from_checksum(repo, *root)
        repo.prepare_transaction(None)
        try:
            _, file = repo.write_mtree(tree, None)
            metadata = GLib.Variant("a{sv}", {RECORD: GLib.Variant("s", record)})
            _, commit = repo.write_commit_with_time(parent, subject, None, metadata, file, time, None)
            repo.commit_transaction(None)
        except BaseException:
            repo.abort_transaction(None)
            raise
        return commit

    def entries(self, path, root, paths):
        """What a tree holds at ``paths`` (None: everywhere): every content is read and hashed again."""
        reader = _Reader(self.repo(path), path, root)
        found = reader.all() if paths is None else filter(None, map(reader.find, paths))
        return [reader.entry(*item) for item in found]

    def extract(self, path, root, paths, destination):
        """Show ``paths`` (None: all) of a tree below ``destination``, files as hard links where that shows them right."""
        reader = _Reader(self.repo(path), path, root)
        found = reader.all() if paths is None else filter(None, map(reader.find, paths))
        directories = []
        for name, kind, checksum, meta in found:
            place = destination if name == "." else os.path.join(destination, name)
            if kind == "directory":
                if name != ".":
                    os.makedirs(place, 0o755, exist_ok=True)
                directories.append((place, meta))
            else:
                os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
                reader.show(checksum, place)
        for place, meta in reversed(directories):
            mode, xattrs = reader.directory_meta(meta)
            _set_xattrs(place, xattrs)
            os.chmod(place, mode)

    def prune(self, path):
        """Remove the objects that no ref leads to, each ref with its own history only."""
        repo = self.repo(path)
        _, _, pruned, size = repo.prune(OSTree.RepoPruneFlags.REFS_ONLY, 0, None)
        return {"objects": pruned, "size_bytes": size}

    def fsck(self, path, commits):
        """The objects of ``commits`` that are missing or not what their names say."""
        repo, bad, seen = self.repo(path), [], set()
        for commit in commits:
            try:
                repo.fsck_object(OSTree.ObjectType.COMMIT, commit, None)
                root = self.roots(path, commit)
            except GLib.Error as error:
                bad.append([commit, error.message])
                continue
            reader = _Reader(repo, path, root)
            try:
                for name, kind, checksum, _ in reader.all():
                    if checksum in seen:
                        continue
                    seen.add(checksum)
                    kinds = OSTree.ObjectType.DIR_TREE if kind == "directory" else OSTree.ObjectType.FILE
                    try:
                        repo.fsck_object(kinds, checksum, None)
                    except GLib.Error as error:
                        bad.append([name, error.message])
            except GLib.Error as error:
                bad.append([commit, error.message])
        return bad


class _Writer:
    def __init__(self, repo, source):
        self.repo, self.source = repo, source
        self.directories = {}
        self.metas = {}

    def put(self, tree, put):
        name, kind, mode, target, xattrs = put
        if kind == "directory":
            there = self._directory(tree, name)
            there.set_metadata_checksum(self._meta(mode, xattrs))
            return
        above, _, last = name.rpartition("/")
        holder = self._directory(tree, above or ".")
        if kind == "symlink":
            checksum = self.repo.write_symlink(None, 0, 0, _attributes(()), target, None)
        else:
            checksum = self._file(name, mode, xattrs)
        holder.replace_file(last, checksum)

    def _directory(self, tree, name):
        if name == ".":
            return tree
        if name not in self.directories:
            above, _, last = name.rpartition("/")
            self.directories[name] = self._directory(tree, above or ".").ensure_dir(last)[1]
        return self.directories[name]

    def _meta(self, mode, xattrs):
        key = (mode, json.dumps(xattrs))
        if key not in self.metas:
            info = _info(stat.S_IFDIR | mode, Gio.FileType.DIRECTORY)
            variant = OSTree.create_directory_metadata(info, _attributes(xattrs))
            self.metas[key] = _hex(self.repo.write_metadata(OSTree.ObjectType.DIR_META, None, variant, None)[1])
        return self.metas[key]

    def _file(self, name, mode, xattrs):
        place = os.path.join(self.source, name)
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if size <= CHUNK_BYTES:
                content = os.read(descriptor, size + 1) if size else b""
                if len(content) != size:
                    raise Refusal(f"{name} was written while it was read")
                return self.repo.write_regfile_inline(None, 0, 0, stat.S_IFREG | mode, _attributes(xattrs), content, None)
            writer = self.repo.write_regfile(None, 0, 0, stat.S_IFREG | mode, size, _attributes(xattrs))
            left = size
            while left:
                chunk = os.read(descriptor, min(left, CHUNK_BYTES))
                if not chunk:
                    raise Refusal(f"{name} was written while it was read")
                writer.write_bytes(GLib.Bytes.new(chunk), None)
                left -= len(chunk)
            return writer.finish(None)
        finally:
            os.close(descriptor)


class _Reader:
    """Reads a tree by its checksums, each directory once."""

    def __init__(self, repo, path, root):
        self.repo, self.objects, self.root = repo, os.path.join(path, "objects"), root
        self.trees, self.metas, self.files = {}, {}, {}

    def tree(self, checksum):
        """Files (name → checksum) and directories (name → contents, metadata) of one directory."""
        if checksum not in self.trees:
            variant = self.repo.load_variant(OSTree.ObjectType.DIR_TREE, checksum)[1]
            files, directories = variant.get_child_value(0), variant.get_child_value(1)
            held = [files.get_child_value(number) for number in range(files.n_children())]
            below = [directories.get_child_value(number) for number in range(directories.n_children())]
            self.trees[checksum] = (
                {one.get_child_value(0).get_string(): _hex(one.get_child_value(1)) for one in held},
                {
                    one.get_child_value(0).get_string(): (_hex(one.get_child_value(1)), _hex(one.get_child_value(2)))
                    for one in below
                },
            )
        return self.trees[checksum]

    def find(self, name):
        """Path, kind, checksum and metadata checksum of what is at a path, or None."""
        contents, meta = self.root
        if name == ".":
            return name, "directory", contents, meta
        *above, last = name.split("/")
        for part in above:
            below = self.tree(contents)[1].get(part)
            if below is None:
                return None
            contents = below[0]
        files, directories = self.tree(contents)
        if last in directories:
            return name, "directory", *directories[last]
        return (name, "file", files[last], None) if last in files else None

    def all(self):
        """Everything, in canonical order."""
        stack = [(".", *self.root)]
        while stack:
            name, contents, meta = stack.pop()
            if meta is None:
                yield name, "file", contents, None
                continue
            yield name, "directory", contents, meta
            files, directories = self.tree(contents)
            del self.trees[contents]
            held = {key: (value, None) for key, value in files.items()}
            held.update(directories)
            names = sorted(held, key=lambda text: text.encode(), reverse=True)
            stack += [(key if name == "." else f"{name}/{key}", *held[key]) for key in names]

    def entry(self, name, kind, checksum, meta):
        """One path as ``compatlayer.tree.entries`` describes it."""
        if kind == "directory":
            mode, xattrs = self.directory_meta(meta)
            return [name, "directory", mode, 0, "", "", xattrs]
        mode, target, xattrs = self.about(checksum)
        if target is not None:
            return [name, "symlink", 0, 0, "", target, []]
        digest, size = hashlib.sha256(), 0
        with open(self.loose(checksum), "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return [name, "file", mode, size, digest.hexdigest(), "", xattrs]

    def about(self, checksum):
        """Mode, link target (of a link) and attributes of a content object."""
        if checksum not in self.files:
            _, stream, info, xattrs = self.repo.load_file(checksum, None)
            if stream is not None:
                stream.close(None)
            target = None
            if info.get_file_type() == Gio.FileType.SYMBOLIC_LINK:
                target = info.get_symlink_target()
            self.files[checksum] = (info.get_attribute_uint32("unix::mode") & 0o7777, target, _listed(xattrs))
        return self.files[checksum]

    def directory_meta(self, checksum):
        """Mode and attributes of a directory."""
        if checksum not in self.metas:
            variant = self.repo.load_variant(OSTree.ObjectType.DIR_META, checksum)[1]
            mode = int.from_bytes(variant.get_child_value(2).get_data_as_bytes().get_data(), "big")
            self.metas[checksum] = (mode & 0o7777, _listed(variant.get_child_value(3)))
        return self.metas[checksum]

    def loose(self, checksum):
        return os.path.join(self.objects, checksum[:2], f"{checksum[2:]}.file")

    def show(self, checksum, place):
        """Make the file or link at ``place``."""
        mode, target, xattrs = self.about(checksum)
        if target is not None:
            os.symlink(target, place)
            return
        loose = self.loose(checksum)
        # An empty file can have more names than a file system allows links; a mode that the object's own file cannot have
        # has to be shown by a copy.
        if mode == (mode & ON_DISK) | 0o400 and not xattrs and os.stat(loose).st_size:
            try:
                os.link(loose, place)
            except OSError as error:
                if error.errno not in (errno.EMLINK, errno.EXDEV, errno.EPERM):
                    raise
            else:
                return
        with open(loose, "rb") as reading, open(place, "xb") as writing:
            while chunk := reading.read(CHUNK_BYTES):
                writing.write(chunk)
        _set_xattrs(place, xattrs)
        os.chmod(place, mode)


def _walk(tree, name):
    """The directory that holds ``name`` and the last part of it; (None, …) where there is no such directory."""
    *above, last = name.split("/")
    for part in above:
        try:
            below = tree.lookup(part)[2]
        except GLib.Error:
            return None, last
        if below is None:
            return None, last
        tree = below
    return tree, last


def _info(mode, kind):
    info = Gio.FileInfo()
    info.set_attribute_uint32("unix::uid", 0)
    info.set_attribute_uint32("unix::gid", 0)
    info.set_attribute_uint32("unix::mode", mode)
    info.set_file_type(kind)
    return info


def _attributes(xattrs):
    """The variant of extended attributes; names end with a NUL there."""
    pairs = sorted((name.encode() + b"\0", bytes.fromhex(value)) for name, value in xattrs)
    return GLib.Variant("a(ayay)", pairs)


def _listed(variant):
    if variant is None:
        return []
    found = []
    for number in range(variant.n_children()):
        pair = variant.get_child_value(number)
        name, value = (_bytes(pair.get_child_value(position)) for position in (0, 1))
        found.append([name.rstrip(b"\0").decode(), value.hex()])
    return found


def _set_xattrs(place, xattrs):
    for name, value in xattrs:
        try:
            os.setxattr(place, name, bytes.fromhex(value))
        except PermissionError:
            # A capability that this user may not give away has no effect for him either.
            continue


def _bytes(variant):
    return variant.get_data_as_bytes().get_data() or b""


def _hex(value):
    if isinstance(value, GLib.Variant):
        return _bytes(value).hex()
    return bytes(value).hex()


def _die_with(parent):
    """End when the process that started this one ends, however it does: its lock then is free, and nobody may go on."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG, prctl(2)
    if os.getppid() != parent:
        sys.exit(1)


def main():
    _die_with(int(sys.argv[1]))
    repositories = Repositories()
    answers = os.fdopen(fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3), "w")
    os.dup2(2, 1)  # whatever a library prints must not end up among the answers
    for line in sys.stdin:
        request = json.loads(line)
        operation = request.pop("operation")
        try:
            answer = {"result": getattr(repositories, operation)(**request)}
        except GLib.Error as error:
            answer = {"error": error.message}
        except (Refusal, OSError) as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
