"""`check_loss` passes every loss of the package, and finds each fault that a loss can have."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses import LOSSES, as_feature_loss
from ecgscan_lab.losses.checks import check_loss
from ecgscan_lab.losses.properties import PROPERTIES

pytestmark = pytest.mark.contracts

VARIANTS = {
    **{name: as_feature_loss(name) for name in [*LOSSES, "objective"]},
    "gram squared": as_feature_loss("gram", kind="volume_squared"),
    "gram plane": as_feature_loss("gram", kind="plane_distance"),
    "gram signed": as_feature_loss("gram", kind="signed_volume"),
}


@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_loss_of_the_package_keeps_the_contract(name):
    report = check_loss(VARIANTS[name])
    assert report.ok, str(report)
    # Without a generator Symile's mismatched triples are made of neighbours.
    assert report["order of the batch is free"].holds is (name != "symile")


def cosine(features):
    return 1 - F.cosine_similarity(features.image, features.text, eps=1e-6).mean()


def nce(features):
    return F.cross_entropy(
        10 * F.normalize(features.image) @ F.normalize(features.text).T, torch.arange(len(features.image))
    )


def angle(features):
    cosines = (F.normalize(features.image) * F.normalize(features.text)).sum(1)
    return (1 - cosines.square()).sqrt().mean()


def random_negative(features):
    return cosine(features) + 0.1 * torch.rand(()) * features.image.square().mean()


def numpy_noise(features):
    np.random.random()  # noqa: NPY002
    return cosine(features)


def python_noise(features):
    random.random()
    return cosine(features)


def overwrites(features):
    features.text.mul_(1.5)
    return cosine(features)


def positional(features):
    return cosine(features) + (features.image[0] - features.text[0]).square().sum()


def rounded(features):
    return cosine(features) + 0.1 * ((features.image - features.text).round().square()).mean()


def half_stopped(features):
    return (features.image - features.text.detach()).square().mean()


def stopped_length(features):
    image = features.image / features.image.norm(dim=1, keepdim=True).clamp_min(1e-6).detach()
    return (image - features.text).square().mean() + 0.1 * features.image.square().mean()


def unguarded(features):
    image = features.image / features.image.norm(dim=1, keepdim=True)
    return 1 - (image * F.normalize(features.text)).sum(1).mean()


def variance_over_batch(features):
    return (features.image - features.text).square().mean() / features.text.detach().var(dim=0).mean()


def duplicate_distance(features):
    gaps = (features.image[:, None] - features.image[None]).square().sum(-1)
    gaps = gaps[~torch.eye(len(gaps), dtype=torch.bool)] if len(gaps) > 1 else gaps + 1
    return cosine(features) + 1e-3 * (1 / gaps).mean()


def exponential(features):
    return (features.image - features.text).square().mean().exp()


def half_sized(features):
    image, text = features.image.half(), features.text.half()
    return (F.normalize(image) - F.normalize(text)).float().square().mean() * 100


def cancels_in_half(features):
    return 1e4 * ((1 + 1e-3 * (features.image - features.text)).square().mean() - 1)


def repels(features):
    return F.cosine_similarity(features.image, features.text, eps=1e-6).mean()


def flat(features):
    return 1 + 1e-6 * cosine(features)


FAULTS = {
    "one finite number": [
        lambda features: float(features.image.sum()),
        lambda features: features.image.sum(1),
        lambda features: features.image.sum() * float("nan"),
        lambda features: 1 / 0,
        lambda features: features.imagee.sum(),
        lambda features: features.image.sum() > 0,
    ],
    "leaves its input alone": [overwrites],
    "differentiable": [
        lambda features: torch.tensor(float(features.image.sum())),
        lambda features: features.image.detach().sum(),
        lambda features: torch.tensor(1.0),
        lambda features: (features.image - features.image).square().sum().sqrt() + cosine(features),
    ],
    "gradient reaches all it reads": [half_stopped],
    "gradient is the derivative": [stopped_length],
    "finite at collapse": [angle],
    "finite for duplicates": [duplicate_distance],
    "finite for zero rows": [unguarded],
    "finite at 1e-6 and 1e6": [exponential],
    "finite for a batch of one": [variance_over_batch],
    "agrees in half precision": [cancels_in_half],
    "pure": [random_negative, numpy_noise, python_noise],
    "matched below mismatched": [repels],
    "descent lowers it": [flat],
    "tells z from -z": [angle, "gram"],
    "order of the batch is free": [positional],
    "rotation invariant": [lambda features: (features.image - features.text).abs().mean()],
    "row length is free": [lambda features: (features.image - features.text).square().mean()],
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_each_fault_is_found(name):
    for loss in FAULTS[name]:
        report = check_loss(loss)
        assert report[name].holds is False, f"{name}: {report}"
        assert report[name].seen
        assert report[name].meaning in str(report)
        assert report.ok is not any(finding.required and finding.holds is False for finding in report.findings)
        assert (report[name] in report.failures) is report[name].required


def test_every_property_has_a_loss_that_lacks_it():
    assert list(FAULTS) == [item.name for item in PROPERTIES]


@pytest.mark.filterwarnings("ignore:var")  # the variance of one record
def test_a_plain_loss_of_five_lines_passes():
    for loss in (nce, cosine):
        report = check_loss(loss)
        assert report.ok, str(report)
        assert all(finding.holds for finding in report.findings), str(report)
        assert report.reads == ("image", "text")


def test_a_crash_is_a_finding_and_stops_nothing_else():
    def crashes_alone(features):
        if len(features.image) == 1:
            raise ValueError("one is none")
        return cosine(features)

    report = check_loss(crashes_alone)
    assert [finding.name for finding in report.failures] == ["finite for a batch of one"]
    assert report.failures[0].seen == "it raised ValueError: one is none"
    hopeless = check_loss(lambda features: 1 / 0)
    assert len(hopeless.failures) == 1
    assert [finding.tried for finding in hopeless.findings].count(True) == 1
    assert "could not be tried" in hopeless.verdict


def test_a_gradient_stopped_on_purpose_is_accepted_when_said():
    assert check_loss(half_stopped, uses=("image",)).ok


def test_what_does_not_apply_is_neither_held_nor_missed():
    report = check_loss("violation")
    assert report.ok
    assert report.reads == ("reconstruction_mv",)
    assert report["matched below mismatched"].holds is None
    assert report["rotation invariant"].holds is None


def test_the_published_volume_is_caught_where_it_breaks():
    report = check_loss("gram", reference="gram")
    assert "finite at collapse" in [finding.name for finding in report.failures]
    assert "modalities equal" in report["finite at collapse"].seen
    assert check_loss("gram", kind="signed_plane_distance")["tells z from -z"].holds is True


def test_signs_of_pairs_are_looked_at_too():
    def product(features):
        image, text, signal = (F.normalize(rows) for rows in (features.image, features.text, features.signal))
        return -(image * text * signal).sum(1).mean()

    seen = check_loss(product)["tells z from -z"].seen
    assert "image and text" in seen
    assert check_loss(product)["rotation invariant"].holds is False


def test_the_report_can_be_read_everywhere():
    report = check_loss(angle)
    assert report.verdict in str(report)
    html = report._repr_html_()
    assert html.count("<tr>") == len(PROPERTIES) + 2
    assert "<script" not in check_loss(lambda features: features.image.sum() / 0 * _angry())._repr_html_()
    assert str(check_loss("contrastive")) == str(check_loss("contrastive"))
    with pytest.raises(AttributeError):
        report.loss = "other"


def _angry():
    raise ValueError("<script>alert(1)</script>")


def test_checking_moves_no_global_generator():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    check_loss(random_negative)
    check_loss("gram")
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_arguments_are_named():
    for call, field in (
        (lambda: check_loss("grm"), "loss"),
        (lambda: check_loss(3), "loss"),
        (lambda: check_loss(cosine, uses=("picture",)), "uses"),
        (lambda: check_loss("gram", knid="volume"), "knid"),
        (lambda: check_loss(cosine)["no such"], "name"),
    ):
        with pytest.raises(ArgumentError) as refused:
            call()
        assert refused.value.field == field
