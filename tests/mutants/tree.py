"""A copy of the checkout in which texts are exchanged: what the mutant scripts work on.

It lies outside of the checkout: below it, cargo would join the lists of both `.cargo/config.toml`, the runner's words among them.
"""
import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Tree:
    """The copy, in the user's cache; what is built of it lies below the target directory."""

    def __init__(self, name):
        self.target = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), name, "build")
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        self.path = os.path.join(cache, "soc-reference", name, hashlib.sha256(ROOT.encode()).hexdigest()[:12])

    def refresh(self):
        """Makes the copy equal to the checkout; what is equal already keeps its time, so that cargo builds no more than it must."""
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
        names = {name for name in listed.stdout.decode().split("\0") if name and os.path.isfile(os.path.join(ROOT, name))}
        for base, _, files in os.walk(self.path):
            for file in files:
                if os.path.relpath(os.path.join(base, file), self.path) not in names:
                    os.unlink(os.path.join(base, file))
        for name in names:
            source, target = os.path.join(ROOT, name), os.path.join(self.path, name)
            with open(source, "rb") as file:
                data = file.read()
            if os.path.isfile(target):
                with open(target, "rb") as file:
                    if file.read() == data:
                        continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)

    def edit(self, edits):
        """Exchanges texts, each of which must occur once in its file: (file, text, replacement). Returns what undoes it."""
        before = {}
        for path, old, new in edits:
            full = os.path.join(self.path, path)
            with open(full, encoding="utf-8") as file:
                text = file.read()
            if text.count(old) != 1:
                self.undo(before)
                sys.exit(f"error: {path} holds {text.count(old)} times: {old}")
            before.setdefault(full, text)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text.replace(old, new))
        return before

    @staticmethod
    def fits(table):
        """Ends the script with a message when a text of the table does not stand exactly once in its file of the checkout."""
        for path, old, _ in (edit for edits in table for edit in edits):
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                count = file.read().count(old)
            if count != 1:
                sys.exit(f"error: {path} holds {count} times: {old}")
        print(f"{len(table)} rows fit the code")

    @staticmethod
    def undo(before):
        """Writes back what an edit has changed."""
        for full, text in before.items():
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
