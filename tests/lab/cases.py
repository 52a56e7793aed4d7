"""Running the cases of a lab script: one line each, and their sum as the last one.

LAB_ROUNDS=N repeats what is repeated N times; LAB_QUICK=1 as often as CI has time for. LAB_TELL=1
shows what the daemons said in each case, not only when one failed."""

import os
import signal
import subprocess
import sys
import traceback

from cluster import ROOT, Failed


def rounds(full, quick):
    return int(os.environ.get("LAB_ROUNDS") or (quick if os.environ.get("LAB_QUICK") else full))


def figures(what, took_ms):
    """One line of what was measured."""
    took_ms = sorted(took_ms)
    print(f"    {what}: p50 {took_ms[(len(took_ms) - 1) // 2]:.0f} ms, worst {took_ms[-1]:.0f} ms "
          f"(of {len(took_ms)})", flush=True)


def missing():
    """Why nothing of this can be tried here; empty when it can."""
    if os.geteuid() != 0:
        return "not root"
    tried = subprocess.run(["unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--fork",
                            "true"], check=False, capture_output=True)
    return "no namespaces" if tried.returncode else ""


class Shared:
    """A lab that cases share: made when it is first used, and anew after a case that failed."""

    def __init__(self, make):
        self.make, self.made = make, None

    def __getattr__(self, name):
        if not self.made:
            self.made = self.make()
        return getattr(self.made, name)

    def tell(self):
        """What its daemons said last."""
        for node in self.made.cluster.nodes if self.made else []:
            print(f"--- {node}\n{node.daemon_said()}", flush=True)

    def end(self):
        if self.made:
            self.made.down()
        self.made = None


def complaint(error):
    """What a failed case says; of an assertion without words, its line."""
    if str(error):
        return str(error)
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{os.path.relpath(at.filename)}:{at.lineno}: {at.line}"


def case_run(case, shared):
    try:
        case()
        print(f"ok      {case.__name__}", flush=True)
        if shared and os.environ.get("LAB_TELL"):
            shared.tell()
        return True
    except (AssertionError, Failed, OSError, subprocess.SubprocessError) as error:
        print(f"FAILED  {case.__name__}: {complaint(error)}", flush=True)
        if shared:
            shared.tell()
            shared.end()
        return False


def main(cases, shared=None, missing_too=lambda: ""):
    """missing_too: what else these cases need and is not here; empty when it is."""
    os.chdir(ROOT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    wanted = [case for case in cases if case.__name__ in sys.argv[1:]] or cases
    why = missing() or missing_too()
    if why:
        print(f"{os.path.basename(sys.argv[0])}: skipped: {why}")
        print(f"0 passed, 0 failed, {len(wanted)} skipped")
        sys.exit(0)
    try:
        results = [case_run(case, shared) for case in wanted]
    finally:
        if shared:
            shared.end()
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed, 0 skipped")
    sys.exit(0 if all(results) else 1)
