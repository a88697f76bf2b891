"""Random configs, drawn from the table of fields itself: a new field is covered without a change here."""

import numpy as np
from hypothesis import strategies as st

from gan_jax.fields import FIELDS
from gan_jax.fields.rules import NUMERIC
from gan_jax.losses import LOSSES
from gan_jax.models import ENERGY_MODELS, TRANSLATORS
from gan_jax.tricks import SCHEDULES
from gan_jax.types import UserError

HUGE = [10**30, -(10**30), 10**400, 2**31 - 1, 2**31, 2**32, 2**64, -1, 10**9]
EXTREME = [
    *(float("nan"), float("inf"), float("-inf"), -0.0, 1e308, -1e308, 1e39, 5e-324),
    *(1e-46, 1.0 - 1e-12, 1.0 + 1e-12, 1e-39, 3.4e38),
]
NUMPY = [
    *(np.float32(0.5), np.float64("nan"), np.int64(3), np.bool_(True), np.str_("adam")),
    *(np.zeros(3), np.array(1.0), np.float16(1.0)),
]
NOT_OURS = ["math:pi", "math:sin", "os:", ":x", "no.such:thing", "gan_jax.types:Batch"]
TYPED = {
    bool: st.booleans(),
    int: st.integers() | st.sampled_from(HUGE),
    float: st.floats() | st.sampled_from(EXTREME) | st.sampled_from(HUGE),
    str: st.text(max_size=12) | st.sampled_from(NOT_OURS),
}
SCALARS = st.one_of(
    st.none(), *TYPED.values(), st.binary(max_size=4), st.sampled_from(NUMPY)
)
SOME = st.lists(SCALARS, max_size=2)
NAMES = st.sampled_from(["", "name", "lr"]) | st.integers()
ANYTHING = SCALARS | SOME | SOME.map(tuple) | st.dictionaries(NAMES, SCALARS)

COUNTS = 0, 1, 2, 3, 4, 8
SHARES = 0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 1.0
SPECIAL = {  # ordinary values of fields whose table says too little
    "schedule": [
        "optim.gen.lr=linear:0:2:1:0",
        "optim.disc.b1=cosine:0:1:1:0.5;ema_decay=step:1:1:1:0",
        "loss_args.margin=exponential:0:4:1:2",
        "penalty.r1=linear:0:2:1:0.1",
    ],
    "data.source": ["ring", "grid", "swiss_roll", "digits", "fashion_mnist", "emoji"],
    "data.split": ["train", "train", "test"],
    "data.resolution": [0, 0, 8, 16, 28, 32],
    "model.attention": [0, 4, 8],
    "eval.split": [""],
    "eval.n": [2, 40],
    # what needs a download is another test's
    "eval.metrics": ["auto", "fd_pixels", "modes", "pr_classifier", "swd"],
    "eval.features": ["auto", "pixels", "classifier"],
    "eval.best": [""],
    "batch_size": [4, 6, 8, 8],
    "scan_steps": [1, 3],
}
SMALL = {  # where a random config starts
    "batch_size": 8,
    "model.name": "mlp",
    "model.width": 4,
    "model.latent_dim": 3,
    "eval.n": 40,
    "steps": 2,
    "log_every": 1,
    "monitor": False,
    "sample_every": 0,
}
CORE = {n: None for n in ("model.name", "loss", "data.source", "model.condition")}
LIGHT = {  # what compiles in seconds
    "model.name": ["mlp", "mlp", "mlp", "dcgan"],
    "loss": ["non_saturating", "wasserstein", "hinge", "rp"],
    "data.source": ["ring", "ring", "ring", "digits"],
    "data.resolution": [0],
}
STRUCTURE = [
    n for n in FIELDS if n not in ("steps", "log_every", "monitor", "deterministic")
]


def allowed(name, value):
    """Whether the field's own rule keeps a value."""
    try:
        FIELDS[name].rule(name, value)
    except UserError:
        return False
    return True


def ordinary(name):
    """Values of a field's type that its rule keeps, of an ordinary size."""
    field = FIELDS[name]
    kind = type(field.default)
    values = list(getattr(field.rule, "choices", [field.default]))
    values = {bool: [False, True], int: COUNTS, float: SHARES}.get(kind, values)
    values = [kind(x) for x in SPECIAL.get(name, values)]
    return st.sampled_from([x for x in values if allowed(name, x)])


def wild(name):
    """Ordinary values, others of the same type, and anything at all."""
    return ordinary(name) | TYPED[type(FIELDS[name].default)] | ANYTHING


def changes(names, values, least=1, most=4):
    """{field: value} of some of the names."""
    some = st.lists(st.sampled_from(names), min_size=least, max_size=most, unique=True)
    return some.flatmap(
        lambda chosen: st.fixed_dictionaries({n: values(n) for n in chosen})
    )


def schedules():
    """Texts of one entry, of any field and any numbers."""
    number = st.floats(0, 4) | st.floats() | st.sampled_from(EXTREME)
    return st.builds(
        lambda name, kind, numbers: f"{name}={kind}:{':'.join(map(str, numbers))}",
        st.sampled_from([n for n, f in FIELDS.items() if f.kind in NUMERIC]),
        st.sampled_from(list(SCHEDULES)),
        st.lists(number, min_size=4, max_size=4),
    )


def matched(values, often):
    """Most values beside what they need: otherwise few configs would come as far as a step."""
    energies = [name for name, row in LOSSES.items() if row.energy]
    model, loss = values.get("model.name"), values.get("loss")
    needs = {}
    if model in ENERGY_MODELS and loss not in energies:
        needs |= {"loss": energies[0]}
    if loss in energies and model not in ENERGY_MODELS:
        needs |= {"model.name": ENERGY_MODELS[0]}
    if values.get("model.codes") or values.get("model.codes_continuous"):
        needs |= {"objective": "infogan", "model.code_classes": 3}
    if values.get("augment.target"):
        needs |= {"augment.cutout": True}
    if model in TRANSLATORS:
        needs |= {"objective": "image_to_image", "data.source": "edges:digits"}
        needs |= {"model.latent_dim": 100, "model.latent_dist": "normal"}
        needs |= {"model.condition": "none", "model.codes": 0}
    if model == "r3gan":
        needs |= {"model.norm": "none", "model.disc_norm": "none"}
    return {**values, **needs} if often else values


def configs(most, core=CORE):
    """{field: value} of a whole small config: `core` {field: values, None: all} is always drawn, of the others up to `most`."""
    always = st.fixed_dictionaries(
        {n: st.sampled_from(x) if x else ordinary(n) for n, x in core.items()}
    )
    drawn = changes([n for n in STRUCTURE if n not in core], ordinary, most // 2, most)
    often = st.sampled_from([True, True, True, False])
    values = st.builds(lambda a, b: {**SMALL, **a, **b}, always, drawn)
    return st.builds(matched, values, often)
