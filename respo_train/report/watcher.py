"""Watches a run: previews and measures the modules every N steps and at the end, then writes the page."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

from ..core.files.text import read_text
from ..core.files.write import make_folder, write_atomically
from ..job import training_folder
from ..network import SplitNetwork
from ..provenance import Base
from ..settings.config import TrainConfig
from ..trainer import TrainState, settings_of
from .effect import Effect, Probe
from .page import Run, write_run_page
from .plots import save_loss_plot
from .preview import Previews, run_key
from .sheet import Sheet, sheet_path

_log = logging.getLogger(__name__)
_EFFECTS = "effects.json"
_MOST_BYTES = 2**25


class Report:
    """A watcher that draws previews and measures the effect every `preview_every` steps and at the end (0: never).

    All of it goes into the training folder, and from there onto the page, so that the page of a resumed run shows what
    was seen before. When a run is interrupted, nothing more is drawn: its page shows what there is. `verdicts`: at the
    end, a warning for each concept that needs one.
    """

    def __init__(self, config: TrainConfig, unet: SplitNetwork, base: Base, out: Path, preview_every: int):
        self._config, self._unet, self._base, self._out, self._every = config, unet, base, out, preview_every
        self._folder = training_folder(out)
        self._settings = settings_of(config, unet)
        self._key = run_key(config, unet)
        self._previews = Previews(config, unet) if preview_every else None
        self._probes: dict[str, Probe] = {}
        self._seen_at: int | None = None
        self.verdicts: dict[str, str] = {}

    def after_step(self, state: TrainState) -> None:
        """Preview and measure the modules every `preview_every` steps."""
        if self._every and state.step % self._every == 0:
            self._look(state)

    def finish(self, state: TrainState) -> None:
        """Write the loss plot and the page; warn of modules with hardly any or far too much effect."""
        done = state.step >= self._config.steps
        if done and self._seen_at != state.step:
            self._look(state)
        make_folder(self._folder)
        losses = {name: concept.losses for name, concept in state.concepts.items()}
        save_loss_plot(self._folder / "losses.png", losses)
        effects = {step: effect for step, effect in self._effects().items() if step <= state.step}
        if done:
            for name, effect in effects[state.step].items():
                if verdict := effect.verdict():
                    self.verdicts[name] = verdict
                    _log.warning("%s: %s", name, verdict)
        run = Run(self._config, self._unet.architecture, self._base, self._out, state.step, losses)
        write_run_page(run, effects, self._sheets(state.step))

    def sheet(self, step: int) -> Path:
        """Return where the pictures of a step are, if some were drawn."""
        return sheet_path(self._folder, step)

    def _look(self, state: TrainState) -> None:
        make_folder(self._folder)
        self._seen_at = state.step
        if self._previews is not None:
            sheet = self._previews.draw(state.modules(), state.step)
            if sheet is None:
                _log.warning("no previews: this checkpoint has no autoencoder (VAE) inside")
                self._previews = None
            elif not sheet.fits():
                _log.warning("no previews: one sheet cannot hold so many; name fewer prompts under 'preview'")
                self._previews = None
            else:
                sheet.save(self.sheet(state.step))
        effects = self._effects() | {state.step: {name: self._measure(name, state) for name in state.concepts}}
        plain = {str(step): {name: asdict(effect) for name, effect in own.items()} for step, own in effects.items()}
        write_atomically(self._folder / _EFFECTS, json.dumps({"run": self._key, "steps": plain}, indent=1).encode())

    def _measure(self, name: str, state: TrainState) -> Effect:
        # The latents to measure on are drawn with the frozen model: once is enough.
        if name not in self._probes:
            self._probes[name] = Probe(self._settings[name])
        return self._probes[name].measure(state.concepts[name].module)

    def _effects(self) -> dict[int, dict[str, Effect]]:
        """Read what was measured at each step of this run."""
        try:
            plain = json.loads(read_text(self._folder / _EFFECTS, "the effects", _MOST_BYTES))
            if plain["run"] != self._key:
                return {}
            return {
                int(step): {name: Effect(**figures) for name, figures in own.items()}
                for step, own in plain["steps"].items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # none yet, or something else
            return {}

    def _sheets(self, step: int) -> list[Sheet]:
        """Read this run's previews up to `step`. Later ones may be there, of steps that an interruption undid."""
        found = [Sheet.load(path) for path in sorted(self._folder.glob("preview-*.png"))]
        return [sheet for sheet in found if sheet is not None and sheet.run == self._key and sheet.step <= step]
