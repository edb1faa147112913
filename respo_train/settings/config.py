"""The validated configuration: what to train, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ..core.errors import RespoError
from ..core.gate.word_rules import read_rules
from ..core.module.attribute import check_name
from ..core.module.grid import KINDS

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
Positive = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]  # float32 ends at 3e38
Weight = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=64, le=4096, multiple_of=8)]
MOST_PHRASES = 2500  # of a preset; its probe puts each into four sentences, and encodes them one by one
Overridable = Literal["neutral", "target_guidance", "snr_gamma", "responsible_lr", "semantic_lr", "semantic_weight"]


class Strict(BaseModel):
    """Base of all tables: unknown keys are errors, and text is not converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConceptConfig(Strict):
    """One concept: its prompt, and any values that override those of its attribute."""

    target: Text | None = Field(None, description='fairness: the prompt to steer to, "a woman"')
    negative: Text | None = Field(None, description='safety: the prompt to steer away from, "violence"')
    word: Text | None = Field(
        None, description='fairness: the word that states it before a noun, "woman"; for the probe'
    )
    neutral: Text | None = None
    target_guidance: Positive | None = None
    snr_gamma: Positive | None = None
    responsible_lr: Positive | None = None
    semantic_lr: Weight | None = None
    semantic_weight: Weight | None = Field(None, alias="lambda")

    @property
    def asked(self) -> str:
        """The concept's own prompt: target or negative (`check` makes sure that there is exactly one)."""
        return self.target or self.negative or ""


class LocalisedConfig(Strict):
    """Learning Where It Matters, our reading (objective "where"): its three parts can be switched off separately."""

    suppress: bool = Field(True, description="mask chi: no cross-attention output where the attribute dominates")
    attenuate: bool = Field(True, description="map m: a weaker h where the attribute is")
    weigh: bool = Field(True, description="beta: a larger loss where the attribute is")
    layers: Literal["all", "last"] = Field("all", description="which cross-attention layers chi acts in")
    tau: Share = Field(0.5, description="threshold of chi")
    beta: Weight = 0.4


class ProbeConfig(Strict):
    """What the module's probe is fitted to besides `people` (see probe/sentences.py); no probe without `nobody`."""

    nobody: list[Text] = Field([], description='prompts without a person, "a dog"')
    details: list[Text] = Field([], description='words that state something else around the concept, "old {}"')
    places: list[Text] = Field([], description='endings, "in a kitchen"')
    templates: list[Text] = Field(["{}"], min_length=1, description='"a photo of {}"')


class TrainConfig(Strict):
    """One attribute and its recipe."""

    attribute: Text
    purpose: Literal["fairness", "safety"]
    neutral: Text = Field(description="the prompt that is steered; it names no profession")
    concepts: dict[str, ConceptConfig] = Field(min_length=1, max_length=64)
    preview: list[Text] = Field(default=[], max_length=16, description="prompts to look at; never trained on")
    licence: Text = "not stated"
    people: list[Text] = Field([], description='prompts that leave the attribute open, "a doctor", besides neutral')
    words: dict[str, list[Text]] = Field(
        default={}, max_length=64, description="words that state a concept in a prompt, for Gate; never trained on"
    )
    probe: ProbeConfig = Field(default_factory=lambda: ProbeConfig.model_validate({}))

    recipe: Text = Field("respo", description="where the numbers below come from when the preset has none")
    objective: Text = Field("respodiff", description="one of respo_train/objectives/")
    steps: int = Field(200, ge=1, le=1_000_000, description="optimizer steps")
    seed: int = Field(0, ge=0, lt=2**64)
    batch: int = Field(8, ge=1, le=4096, description="latents per concept and step")
    width: Pixels | None = Field(None, description="of the pictures trained on; default: the checkpoint's own size")
    height: Pixels | None = None
    responsible_lr: Positive = 1e-2
    semantic_lr: Weight = Field(1e-4, description="0 leaves the semantic part at zero")
    semantic_weight: Weight = Field(0.5, alias="lambda", description="higher: closer to the neutral picture")
    semantic_target: Literal["neutral", "between"] = Field(
        "neutral", description="the paper's, or between target and neutral so that lambda alone decides; see respodiff"
    )
    optimizer: Literal["adam", "one_scale_adam"] = Field("adam", description="the paper's, or see optimizer.py")
    weight_decay: Weight = 0.0
    clip: Positive | None = Field(None, description="largest norm of a gradient")
    checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", description="recompute activations in the backward pass: less memory, the same result; auto: if needed"
    )
    kind: Literal["grid", "low_rank", "channel"] = "grid"
    rank: int | None = Field(None, ge=1, le=1024)
    grid: tuple[Annotated[int, Field(ge=1, le=512)], Annotated[int, Field(ge=1, le=512)]] | None = Field(
        None, description="height and width of the module's grid; default: that of h, on a transformer at most 4 x 4"
    )
    block: int | None = Field(
        None, ge=1, le=1000, description="of a transformer: h is behind this block; default: half of them"
    )

    map_width: int | None = Field(
        None, ge=1, le=1024, description="a map of h beside the constant, with this many hidden numbers per place"
    )
    map_lr: Positive | None = Field(None, description="of the map; give both or neither")

    # respodiff
    train_on: Literal["neutral", "people"] = Field(
        "neutral", description="the neutral prompt alone, or it and `people` in turn, each against its own target"
    )
    trajectory_steps: int = Field(50, ge=2, le=1000, description="DDIM steps of a trajectory")
    trajectory_guidance: Weight = 3.0
    target_guidance: Positive = 4.0
    target_from: Literal["unconditional", "neutral", "others"] = Field(
        "unconditional", description="what target_guidance leads away from: the paper's choice, or see the objective"
    )
    snr_gamma: Positive | None = Field(
        None,
        description="Min-SNR: an error counts min(1, gamma / SNR); default: all alike, on a transformer .1",
    )

    # sdisc and where
    pictures: int = Field(1000, ge=1, le=100_000, description="pictures to learn each concept from")
    picture_prompt: Text = Field("a photo of {}", description="what they are drawn with; {} is the concept's prompt")
    picture_steps: int = Field(30, ge=2, le=1000)
    picture_guidance: Weight = 7.5
    where: LocalisedConfig = Field(default_factory=lambda: LocalisedConfig.model_validate({}))

    def of(self, concept: str, key: Overridable) -> Any:
        """Return the concept's own value of `key`, or else the attribute's."""
        own = getattr(self.concepts[concept], key)
        return getattr(self, key) if own is None else own

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the pictures in pixels; None for the checkpoint's own size."""
        return None if self.height is None or self.width is None else (self.height, self.width)

    def picture_words(self, concept: str) -> str:
        """Return the prompt of the pictures that a concept is learned from."""
        asked = self.concepts[concept].asked if self.purpose == "fairness" else self.of(concept, "neutral")
        return self.picture_prompt.replace("{}", asked)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration in the form of a preset, without unset entries."""
        unset = None if self.probe.nobody else {"probe"}
        return self.model_dump(by_alias=True, exclude_none=True, exclude=unset, mode="json")

    def trained(self) -> dict[str, Any]:
        """Return `to_dict` without what does not affect the result: the words, and checkpointing."""
        return as_trained(self.to_dict())


def as_trained(config: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the result of `TrainConfig.to_dict`, also of an older version, to that of `TrainConfig.trained`."""
    return {key: value for key, value in config.items() if key not in ("words", "checkpointing")}


def check(config: TrainConfig, source: str) -> None:
    """Check that the entries fit together. Raises RespoError."""
    wanted, wrong = ("target", "negative") if config.purpose == "fairness" else ("negative", "target")
    for name, concept in config.concepts.items():
        if getattr(concept, wrong) or not getattr(concept, wanted):
            raise RespoError(
                f"{source}: concepts.{name}.{wanted}: a concept of {config.purpose} needs this prompt, and no {wrong!r}"
            )
    if (config.kind == "low_rank") != (config.rank is not None):
        raise RespoError(f"{source}: give 'rank' with kind = \"low_rank\", and only then (kinds: {', '.join(KINDS)})")
    if (config.map_width is None) != (config.map_lr is None):
        raise RespoError(f"{source}: give both 'map_width' and 'map_lr', or neither")
    if config.kind == "channel" and config.grid:
        raise RespoError(f"{source}: kind = \"channel\" has no grid; leave 'grid' out")
    if (config.width is None) != (config.height is None):
        raise RespoError(f"{source}: give both 'width' and 'height', or neither")
    if config.target_from == "others" and config.purpose == "fairness" and len(config.concepts) < 2:
        raise RespoError(f'{source}: target_from = "others" needs at least two concepts; use "neutral"')
    _check_people(config, source)
    try:
        for group in config.words:
            check_name("group of words", group)
        read_rules(config.words)
    except RespoError as error:
        raise RespoError(f"{source}: words: {error}") from None


def _check_people(config: TrainConfig, source: str) -> None:
    probe = config.probe
    if (config.train_on == "people" or probe.nobody) and not config.people:
        raise RespoError(
            f"{source}: people: name some who leave the attribute open; training on them or a probe needs it"
        )
    wordless = [name for name, concept in config.concepts.items() if not concept.word]
    if config.people and wordless:
        raise RespoError(
            f"{source}: concepts.{wordless[0]}.word: with 'people', each concept needs the word that states it"
        )
    if config.purpose == "safety" and (config.people or probe.nobody):
        raise RespoError(f"{source}: people, probe: safety acts on every prompt; leave them out")
    phrases = (1 + len(config.people)) * (1 + len(probe.details)) * (1 + len(config.concepts)) + len(probe.nobody)
    if config.people and phrases > MOST_PHRASES:
        raise RespoError(
            f"{source}: people, probe: expected at most {MOST_PHRASES:,} phrases, found {phrases:,} (people × details "
            "× concepts, and nobody). Leave some out."
        )
    for key, texts in (("templates", probe.templates), ("details", probe.details)):
        missing = [text for text in texts if "{}" not in text]
        if missing:
            raise RespoError(f"{source}: probe.{key}: expected {{}} where the words go, found {missing[0]!r}")
