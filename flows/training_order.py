"""What `moodreel train` is asked for: a recipe with its changes, and where things are."""

import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from moodreel.models.own import MODEL_NAME
from moodreel.schemas.training import BEST, TrainingConfig
from moodreel.tasks.learning.recipes import RECIPES


@dataclass(frozen=True)
class TrainingOrder:
    """One training as a user asked for it.

    Attributes:
        recipe: its name.
        data: labelled faces or clips.
        out: the run's folder.
        warehouse: folder of the tables.
        resume: go on from the last whole epoch.
        init: weights to start from.
        name: of the model that comes of it; None is the recipe's.
        changes: settings that differ from the recipe, each `NAME=VALUE`; dots lead into a group, VALUE is JSON or text.
    """

    recipe: str
    data: Path
    out: Path
    warehouse: Path
    resume: bool = False
    init: Path | None = None
    name: str | None = None
    changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no training can come of, before PyTorch takes its seconds to load.

        Raises:
            ValueError: the name has other characters than those of models or is a run's own, `out` is a file, or what
                `config` raises.
        """
        if not MODEL_NAME.fullmatch(self.model):
            raise ValueError(f"--name {self.model}: only letters, digits and . _ - are possible")
        if f"{self.model}.safetensors" == BEST:
            raise ValueError(f"--name {self.model}: a run keeps its best epoch in {BEST}; choose another name")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"{self.out} is a file: name a folder for the run with --out")
        _ = self.config

    @property
    def model(self) -> str:
        """The name of the model that comes of it."""
        return self.name or self.recipe

    @property
    def command(self) -> str:
        """The command that repeats it elsewhere, for the manifest."""
        words = ["moodreel", "train", self.recipe, "--data", self.data.name]
        words += ["--init", self.init.name] if self.init else []
        words += ["--name", self.name] if self.name else []
        return shlex.join(words + [word for change in self.changes for word in ("--set", change)])

    @cached_property
    def config(self) -> TrainingConfig:
        """The recipe with its changes.

        Raises:
            ValueError: no recipe has that name, or a change does not fit it.
        """
        if self.recipe not in RECIPES:
            raise ValueError(f"no recipe {self.recipe!r}; there are: {', '.join(RECIPES)}")
        config = RECIPES[self.recipe]()
        if not self.changes:
            return config
        settings = config.model_dump()
        for change in self.changes:
            _apply(change, settings)
        try:
            return TrainingConfig.model_validate(settings)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the settings"
            raise ValueError(f"--set: {place}: {first['msg']}") from error


def _apply(change: str, settings: dict[str, Any]) -> None:
    path, equals, text = change.partition("=")
    *groups, name = path.split(".")
    for group in groups:
        if settings.get(group) is None:  # a group that the recipe leaves out, such as distillation
            settings[group] = {}
        settings = settings[group]
        if not isinstance(settings, dict):
            raise ValueError(f"--set {change}: {group} is a value, no group of settings")
    if not equals or not name:
        raise ValueError(f"--set {change}: write NAME=VALUE, such as seed=1")
    try:
        settings[name] = json.loads(text)
    except ValueError:
        settings[name] = text
