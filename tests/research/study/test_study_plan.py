"""Which runs a study consists of, and which beta is chosen."""

from softpref.demo.paper_betas import PLAN_BETAS
from softpref.research.study.labels import CONDITIONS, label_set
from softpref.research.study.plan import PARTS, choose, label_sets_of, part_runs, tuning_runs
from softpref.research.study.settings import METHODS, SIZES

SIZE = SIZES["default"]


def test_every_method_on_every_label_set_and_seed():
    runs = part_runs("comparison", SIZE, PLAN_BETAS)
    assert len({(run.labels, run.method, run.seed) for run in runs}) == len(runs) == 8 * 3 * 5
    assert {run.beta for run in runs if run.method == "gdpo"} == {0.3}
    assert all(run.along and run.split == "test" for run in runs)
    # all of a seed before the next one
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)


def test_noise_at_every_rate_and_kind():
    runs = part_runs("noise", SIZE, PLAN_BETAS)
    assert len(runs) == 9 * 3 * len(SIZE.few_seeds)
    kinds = {run.labels for run in runs}
    assert {f"{kind}_{rate}" for kind in ("binary_flip", "soft_flip", "soft_averaging") for rate in (0.1, 0.2, 0.3)} == kinds


def test_every_planned_label_set_is_known():
    for part in PARTS:
        for name, _ in label_sets_of(part_runs(part, SIZE, PLAN_BETAS)):
            label_set(name)
    assert {run.labels for run in part_runs("conditions", SIZE, PLAN_BETAS)} == {*CONDITIONS}


def test_a_label_set_and_seed_is_prepared_once():
    found = label_sets_of(part_runs("comparison", SIZE, PLAN_BETAS))
    assert len(found) == len({*found}) == 15


def test_betas_are_chosen_where_nothing_is_reported():
    runs = list(tuning_runs(SIZE))
    assert len(runs) == len(METHODS) * len(SIZE.betas) * len(SIZE.tuning_seeds)
    assert {run.split for run in runs} == {"validation"}
    assert not {run.seed for run in runs} & {*SIZE.seeds, *SIZE.few_seeds}


def test_the_best_beta_and_the_edges_of_the_grid():
    chosen = choose({0.03: 0.5, 0.1: 0.7, 0.3: 0.6})
    assert (chosen.beta, chosen.at_edge) == (0.1, False)
    assert choose({0.03: 0.8, 0.1: 0.7, 0.3: 0.6}).at_edge
    assert choose({0.03: 0.1, 0.1: 0.7, 0.3: 0.8}).at_edge


def test_of_equals_the_larger_beta():
    assert choose({0.03: 0.6, 0.1: 0.7, 0.3: 0.7, 1.0: 0.2}).beta == 0.3
