"""Reference cases of latent label shift: factorisation, adjustment, matching of classes, and the making of domains."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import numpy as np
from support import UnknownOp

from errata.data.domains import domain_sample_counts
from errata.parts.matching import hungarian_relabel
from errata.systems.label_shift import lls

RTOL = {"*": 1e-6, "factorise_domains": 1e-3}  # the factorisation stops at a tolerance


def compute(case: dict[str, Any]) -> dict[str, Any]:
    inputs, params = case.get("inputs", {}), case.get("params", {})
    if case["op"] == "factorise_domains":
        table = lls.bin_table(inputs["bins"], inputs["domains"], params["num_bins"], params["num_domains"])
        found = lls.factorise(
            table,
            params["num_classes"],
            solver="nmf",
            init=params.get("nmf_init", "random"),
            random_state=params.get("nmf_random_state", 0),
        )
        return {"X": table, **found._asdict()}
    if case["op"] == "adjust_posterior":
        adjusted = lls.adjust_posterior(inputs["p_d_given_x"], inputs["p_y_given_d"], inputs["domains"], clip=False)
        return {
            "p_y_given_x": adjusted.p_y_given_x,
            "p_y_given_x_own_domain": adjusted.own_domain,
            "predictions": adjusted.predictions,
        }
    if case["op"] == "hungarian_relabel":
        order, relabelled, accuracy = hungarian_relabel(inputs["pred"], inputs["truth"], params["num_classes"])
        return {"order": order, "relabelled": relabelled, "accuracy": accuracy}
    if case["op"] == "domain_sample_counts":
        counts, condition = domain_sample_counts(np.asarray(inputs["Q"]), params["n_min"])
        return {"counts": counts, "condition_number": condition}
    raise UnknownOp(case["op"])
