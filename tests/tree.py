"""The files of the tree that are the project's: what git tracks or would."""

import os
import subprocess


def tree_files(root):
    """Their paths from root, sorted; of a tree without git, all but build/."""
    # A checkout that somebody else owns is still ours to read.
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co",
                             "--exclude-standard"],
                            cwd=root, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        paths = listed.stdout.split("\n")
    else:
        paths = [os.path.relpath(os.path.join(at, name), root)
                 for at, _, names in os.walk(root) for name in names]
        paths = [p for p in paths if not p.startswith("build/")]
    return [p for p in sorted(paths) if p and os.path.isfile(os.path.join(root, p))]
