import math

import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.logit_scale import LogitScale


@pytest.mark.parametrize(("log_scale", "expected"), [(0.5, math.exp(0.5)), (9.0, 100.0), (-3.0, 1.0)])
def test_is_the_exponential_within_bounds(log_scale, expected):
    scale = LogitScale()
    with torch.no_grad():
        scale.log_scale.fill_(log_scale)
    assert float(scale().detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("log_scale", "sign", "moves"),
    [(9.0, 1, True), (9.0, -1, False), (-3.0, 1, False), (-3.0, -1, True), (2.0, 1, True), (2.0, -1, True)],
)
def test_a_gradient_leads_back_from_outside_but_not_further_out(log_scale, sign, moves):
    scale = LogitScale()
    with torch.no_grad():
        scale.log_scale.fill_(log_scale)
    (sign * scale()).backward()
    gradient = float(scale.log_scale.grad)
    assert gradient == pytest.approx(sign * float(scale().detach()) if moves else 0.0)


@pytest.mark.parametrize(
    ("field", "options"), [("start", {"start": 0.5}), ("low", {"low": 0.0}), ("low", {"low": 5.0, "high": 5.0})]
)
def test_bad_bounds_are_named(field, options):
    with pytest.raises(ArgumentError) as refused:
        LogitScale(**options)
    assert refused.value.field == field
