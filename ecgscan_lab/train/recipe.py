"""A recipe: every choice of a run in one frozen, printable object that is saved with its checkpoint."""

from __future__ import annotations

import dataclasses
import html
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ecgscan_lab.batch import PagePlan
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.objective import Weights

if TYPE_CHECKING:
    import pandas as pd

OPTIONS: dict[str, tuple[str, ...]] = {
    "fit": ("letterbox", "squash"),
    "tower_trains": ("all", "lora", "frozen"),
    "decoder_activation": ("gelu", "relu"),
    "decoder_norm": ("pre", "post"),
    "project": ("tanh", "linear"),
    "signal_unit": ("mv", "record_sd"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "split_by": ("patient", "record"),
    "save": ("all", "trainable"),
}
"""Fields that take one of a few words."""

GROUPS: dict[str, str] = {
    "pages": "size first_size first_share page vary layout_share degrade degrade_share degrade_strength "
    "degrade_first_strength degrade_growing_epochs time_shift cover",
    "image tower": "image_tower image_weights tower_size fit tower_width tower_trains "
    "lora_rank lora_alpha lora_targets lora_dropout",
    "frozen towers": "text_tower text_weights text_pooling text_max_tokens signal_teacher teacher_weights "
    "teacher_lead_order d_shared",
    "decoder": "decoder_dim decoder_layers decoder_heads mask_share decoder_feedforward decoder_activation "
    "decoder_norm independent_leads samples_per_query cross_attention column_queries align_columns",
    "objective": "weights logit_scale_init logit_scale_limits share_logit_scale statement_logit_scale_init "
    "multi_positive project signal_unit",
    "optimisation": "steps batch_size lr warmup_share weight_decay clip_norm precision weight_average max_bad_steps",
    "execution": "micro_batch checkpointing compile_model save",
    "validation": "validations validation_batches split_by",
    "beside it": "teachers teacher_steps teacher_batch teacher_lr supervised_steps n_bootstrap",
}
"""How a recipe is printed."""

OPEN_IN_PAPER = frozenset(
    "size fit tower_size lora_targets logit_scale_init logit_scale_limits share_logit_scale weights mask_share "
    "decoder_feedforward decoder_activation decoder_norm signal_unit text_tower text_pooling text_max_tokens "
    "weight_decay clip_norm precision degrade degrade_strength vary split_by".split()
)
"""What arXiv 2604.01526 leaves open (of `weights`: the Gram loss's smoothing and anchor, the aV formula)."""


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, for how long.

    Attributes:
        name: what the recipe is called.
        size: (height, width) of the drawn pages in pixels.
        first_size, first_share: smaller, clean pages for the first share of the steps: cheaper; tiny tower only.
        page, vary, layout_share, degrade, degrade_share, degrade_strength, degrade_first_strength,
            degrade_growing_epochs, time_shift, cover: how pages look (`batch.PagePlan`, made by `plan()`).
        image_tower: a name of `encoders.towers.image_tower`.
        image_weights: None for random weights, "hub", or a path.
        tower_size: (height, width) that the tower sees; None takes the tower's own (the tiny tower: `size`).
        fit: how pages of another size come to it: "letterbox" or "squash"; never a crop.
        tower_width: channels of the tiny tower's stem.
        tower_trains: "all", "lora" (adapters alone) or "frozen".
        lora_rank, lora_alpha, lora_targets, lora_dropout: adapters (paper: 16, 32, targets open).
        text_tower, text_weights, text_pooling, text_max_tokens: the frozen text tower; None takes its own choice.
        signal_teacher, teacher_weights: "tiny" (trained here first) or a name of `encoders.teachers`, and its file.
        teacher_lead_order: "standard" or "mimic"; None takes the teacher's own.
        d_shared: size of the shared space, and of the teacher's feature (paper: 768).
        decoder_dim, decoder_layers, decoder_heads: size of the decoder (paper: 768, 12, 12).
        mask_share: share of decoder queries masked while training.
        decoder_feedforward: width of its feed-forward; None is 4 x `decoder_dim`.
        decoder_activation, decoder_norm: "gelu" or "relu"; "pre" or "post".
        independent_leads: decode eight leads and derive the other four.
        samples_per_query: samples of a lead that one query speaks (paper: 8).
        cross_attention: let the decoder read the image tower's patch tokens.
        column_queries: let each of the decoder's queries read the columns of a fine map that show its moment.
        align_columns: count columns from where the page's traces begin to where they end, not from edge to edge.
        weights: weights and options of the objective.
        logit_scale_init, logit_scale_limits, share_logit_scale: the two temperatures, or the one.
        statement_logit_scale_init: where the temperature of statements starts; without their loss there is none.
        multi_positive: count equal reports as positives.
        project: features enter the shared space by "linear" or, as in the paper, linear and "tanh".
        signal_unit: unit of L_recon: "mv", or "record_sd" (each record over its own standard deviation, which keeps
            the lead laws).
        steps, batch_size, lr: how long, over all processes (paper: 50,000 steps of 80 at 5e-4).
        warmup_share: share of the steps with rising learning rate (paper: 0.1).
        weight_decay, clip_norm: AdamW's decay and the largest gradient norm.
        precision: "auto" takes bf16 where the hardware has it, else fp16 with loss scaling on a GPU, else fp32.
        weight_average: decay of an exponential average of the weights, which is then judged and kept; 0 keeps none.
        max_bad_steps: steps with a loss or gradient that is not finite are skipped; after so many the run stops.
        micro_batch: pages that go through the model at a time, per process; None takes the whole batch.
        checkpointing: compute activations again on the way back: less memory, a third more time.
        compile_model: fuse the repeated layers by torch.compile (`compiled.compile_blocks`): for GPUs.
        save: "all" weights, or the "trainable" ones beside a hash of the frozen ones.
        validations: how often the validation loss is measured; the weights of the last phase's best one are kept.
        validation_batches: batches behind each validation loss.
        split_by: "patient" refuses data with a patient in both train and val; "record" lets it pass.
        teachers, teacher_steps, teacher_batch, teacher_lr: tiny teachers a seed apart: all distilled, one aligned.
        supervised_steps: steps of the same tower trained with labels.
        n_bootstrap: resamples behind every interval.

    Raises:
        ArgumentError: a value is unknown or out of range; `field` names it.

    Properties: JSON round trip; printed as a table, where ° marks what the paper leaves open.
    """

    name: str
    size: tuple[int, int] = (192, 448)
    text_tower: str = "auto"
    d_shared: int = 256
    tower_width: int = 24
    decoder_dim: int = 64
    decoder_layers: int = 2
    decoder_heads: int = 2
    mask_share: float = 0.25
    teacher_steps: int = 200
    teacher_batch: int = 128
    teacher_lr: float = 2e-3
    teachers: int = 1
    steps: int = 600
    batch_size: int = 64
    lr: float = 2e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    validations: int = 8
    supervised_steps: int = 800
    weights: Weights = field(default_factory=Weights)
    n_bootstrap: int = 1000
    page: str = "compact"
    vary: str = "looks"
    degrade: str = "clean"
    degrade_strength: float = 1.0
    degrade_first_strength: float | None = None
    degrade_growing_epochs: int = 0
    image_tower: str = "tiny"
    image_weights: str | None = None
    tower_size: tuple[int, int] | None = None
    fit: str = "letterbox"
    tower_trains: str = "all"
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_targets: str | tuple[str, ...] = "attention"
    lora_dropout: float = 0.0
    text_weights: str | None = None
    text_pooling: str | None = None
    text_max_tokens: int | None = None
    signal_teacher: str = "tiny"
    teacher_weights: str | None = None
    teacher_lead_order: str | None = None
    decoder_feedforward: int | None = None
    decoder_activation: str = "gelu"
    decoder_norm: str = "pre"
    independent_leads: bool = False
    samples_per_query: int = 8
    cross_attention: bool = False
    column_queries: bool = False
    align_columns: bool = False
    logit_scale_init: float = 1 / 0.07
    logit_scale_limits: tuple[float, float] = (1.0, 100.0)
    share_logit_scale: bool = False
    multi_positive: bool = False
    signal_unit: str = "mv"
    precision: str = "auto"
    weight_average: float = 0.0
    max_bad_steps: int = 10
    micro_batch: int | None = None
    checkpointing: bool = False
    compile_model: bool = False
    save: str = "all"
    validation_batches: int = 8
    split_by: str = "patient"
    layout_share: float = 0.0
    degrade_share: float = 1.0
    time_shift: bool = False
    cover: int = 0
    statement_logit_scale_init: float = 20.0
    project: str = "tanh"
    first_size: tuple[int, int] | None = None
    first_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("size", "first_size", "tower_size", "logit_scale_limits", "lora_targets"):
            value = getattr(self, name)
            if isinstance(value, list):  # as JSON gives it
                object.__setattr__(self, name, tuple(value))
        for name, known in OPTIONS.items():
            value = getattr(self, name)
            if value not in known:
                raise ArgumentError(f"{name} is {value!r}", field=name, expected=f"one of {', '.join(known)}")
        _check_numbers(self)
        self.phases()
        _check_first(self)

    def plan(self) -> PagePlan:
        """How the pages of this recipe are drawn: in the last phase, and by whatever judges the model afterwards."""
        return PagePlan(
            size=self.size,
            page=self.page,
            vary=self.vary,
            degrade=self.degrade,
            strength=self.degrade_strength,
            first_strength=self.degrade_first_strength,
            growing_epochs=self.degrade_growing_epochs,
            degrade_share=self.degrade_share,
            layout_share=self.layout_share,
            time_shift=self.time_shift,
            cover=self.cover,
        )

    def phases(self) -> tuple[tuple[range, PagePlan], ...]:
        """Which steps are trained on which pages: all on `plan()`, or the first ones on smaller pages, none degraded.

        **Source**: progressive learning, Tan and Le (2021), arXiv 2104.00298. *Differences*: one change of size.

        Example:
            >>> recipe = Recipe("small first", steps=10, first_size=(128, 304), first_share=0.6)
            >>> [(steps, plan.size) for steps, plan in recipe.phases()]
            [(range(0, 6), (128, 304)), (range(6, 10), (192, 448))]
        """
        plan, first = self.plan(), min(max(1, round(self.first_share * self.steps)), self.steps - 1)
        if self.first_size is None or first == 0:
            return ((range(self.steps), plan),)
        small = dataclasses.replace(plan, size=self.first_size, degrade="clean", first_strength=None, growing_epochs=0)
        return (range(first), small), (range(first, self.steps), plan)

    def phase_at(self, step: int) -> tuple[range, PagePlan]:
        """The phase of a step."""
        return next(phase for phase in self.phases() if step in phase[0])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` makes the recipe again."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe that `as_dict` described; fields that are left out take their defaults.

        Raises:
            ArgumentError: a field is unknown, or a value out of range; `field` names it.
        """
        if not isinstance(values, Mapping) or "name" not in values:
            raise ArgumentError("no recipe", field="name", expected="an object with a name, as Recipe.as_dict() gives")
        _check_names("a recipe", values, cls)
        values = dict(values)
        if isinstance(values.get("weights"), Mapping):
            _check_names("the objective", values["weights"], Weights)
            values["weights"] = Weights(**values["weights"])
        return cls(**values)

    def __str__(self) -> str:
        width = max(len(name) for names in GROUPS.values() for name in names.split())
        lines = [f"recipe {self.name}  (° left open by the paper)"]
        for group, rows in _table(self):
            lines += ["", group, *(f"  {name:<{width}} {mark} {value}" for name, mark, value in rows)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><th colspan=2 style='text-align:left'>{html.escape(group)}</th></tr>"
            + "".join(
                f"<tr><td style='text-align:left'>{name} {mark}</td>"
                f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
                for name, mark, value in entries
            )
            for group, entries in _table(self)
        ]
        title = f"recipe {html.escape(self.name)} (° left open by the paper)"
        return f"<table><caption>{title}</caption>{''.join(rows)}</table>"


def with_defaults(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recipe as it was written down, with what it did not know yet at its default; another's as it is.

    Example:
        >>> with_defaults({"name": "old"})["weights"]["w_distillation"]
        0.0
    """
    try:
        return Recipe.from_dict(values).as_dict()
    except (ArgumentError, TypeError):
        return values


def recipe_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Fields in which two recipes differ, as "name: theirs, not ours"; the objective's weights one by one.

    Example:
        >>> recipe_differences({"lr": 0.1, "steps": 5}, {"lr": 0.2, "steps": 5})
        ['lr: 0.2 there, 0.1 here']
    """
    found = []
    for name in sorted({*ours, *theirs}):
        here, there = ours.get(name), theirs.get(name)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            found += [f"{name}.{line}" for line in recipe_differences(here, there)]
        elif here != there:
            found.append(f"{name}: {there!r} there, {here!r} here")
    return found


def compare_recipes(*recipes: Recipe) -> pd.DataFrame:
    """The choices in which recipes differ, a column a recipe, in the order in which a recipe is printed.

    Returns:
        Text; what the paper leaves open has ° after its name. Of the objective each weight that differs has a row.

    Example:
        >>> compare_recipes(Recipe("a", lr=0.1), Recipe("b", lr=0.2)).loc["lr"].tolist()
        ['0.1', '0.2']
    """
    import pandas as pd

    columns = {}
    for recipe in recipes:
        column = columns[recipe.name] = dict[str, str]()
        for _, rows in _table(recipe):
            for name, mark, value in rows:
                if name == "weights":
                    column |= {f"weights.{key}": str(v) for key, v in dataclasses.asdict(recipe.weights).items()}
                else:
                    column[f"{name} {mark}".strip()] = value
    table = pd.DataFrame(columns)
    return table[table.nunique(axis=1) > 1]


def _table(recipe: Recipe) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Groups of (field, mark, value in words)."""
    usual = Weights()
    told = []
    for group, names in GROUPS.items():
        rows = []
        for name in names.split():
            value = getattr(recipe, name)
            mark = "°" if name in OPEN_IN_PAPER else " "
            if isinstance(value, Weights):
                own = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
                changed = {key: item for key, item in own.items() if item != getattr(usual, key)}
                text = "the paper's" + "".join(f", {key} {item}" for key, item in changed.items())
            else:
                text = f"{value:g}" if isinstance(value, float) else str(value)
            rows.append((name, mark, text))
        told.append((group, rows))
    return told


def _check_names(what: str, values: Mapping[str, Any], cls: type) -> None:
    known = [f.name for f in dataclasses.fields(cls)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ArgumentError(f"{what} has no {', '.join(unknown)}", field=unknown[0], expected=", ".join(known))


def _check_first(recipe: Recipe) -> None:
    if (recipe.first_size is None) != (recipe.first_share == 0) or recipe.first_share >= 1:
        raise ArgumentError(
            f"first_share is {recipe.first_share!r} with first_size {recipe.first_size!r}",
            field="first_share",
            expected="a share of the steps between 0 and 1 together with first_size, or neither",
        )
    if recipe.first_size is None:
        return
    smaller = recipe.first_size != recipe.size and all(map(operator.le, recipe.first_size, recipe.size))
    if not smaller or recipe.image_tower != "tiny" or recipe.tower_size is not None:
        raise ArgumentError(
            f"first_size is {recipe.first_size} before {recipe.size}, the tower {recipe.image_tower}",
            field="first_size",
            expected="None, or smaller pages than size, for image_tower='tiny' without tower_size",
        )


def _check_numbers(recipe: Recipe) -> None:
    def at_least(least: float, names: Sequence[str], whole: bool = True) -> None:
        for name in names:
            value = getattr(recipe, name)
            right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not right or not least <= value < float("inf"):
                kind = "a whole number" if whole else "a number"
                raise ArgumentError(f"{name} is {value!r}", field=name, expected=f"{kind} from {least:g}")

    at_least(1, "d_shared tower_width decoder_dim decoder_layers decoder_heads steps batch_size validations".split())
    at_least(1, "lora_rank samples_per_query validation_batches max_bad_steps teachers".split())
    at_least(1, [name for name in ("micro_batch", "text_max_tokens") if getattr(recipe, name) is not None])
    at_least(0, ["lr", "weight_decay", "warmup_share", "weight_average", "first_share"], whole=False)
    if not (isinstance(recipe.clip_norm, int | float) and recipe.clip_norm > 0):
        raise ArgumentError(f"clip_norm is {recipe.clip_norm!r}", field="clip_norm", expected="a number above 0")
    if recipe.weight_average >= 1:
        raise ArgumentError(f"weight_average is {recipe.weight_average}", field="weight_average", expected="below 1")
