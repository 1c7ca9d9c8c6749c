import pytest
from synthetic import is_self_contained, text_of

from bench.trial import BadInput
from reports.benchmarks.page import answer, metrics, readme, render
from reports.benchmarks.sizes import curves
from reports.benchmarks.stored import medians


def benchmark(group, median=1.0, **info):
    return {"group": group, "stats": {"median": median}, "extra_info": info}


def trials(model, title, **seconds):
    return benchmark("trials", model=model, title=title, measured_epochs=2, epochs=15, seconds=seconds)


def overhead(what, seconds, most, **rest):
    return benchmark("overhead", seconds, what=what, unit="s", most=most, **rest)


def pace(train):
    return {"train": train, "evaluate": 3 * train, "update": 0.01, "flops": 4e10}


CELLS = [
    {"model": "lm6", "batch": 64, "hidden": 64, "measured": [pace(1e5), pace(3e5), pace(2e5)]},
    {"model": "lm6", "batch": 64, "hidden": 128, "measured": [pace(1e5)]},
]
SQUARE = [
    {"model": "lm6", "what": "hidden", "size": n, "seconds": [1e9, 0.001 * n**2, 0]} for n in (64, 128, 256)
]
LINEAR = [{"model": "lm4", "what": "seeds", "size": n, "seconds": [0.5 * n]} for n in (1, 2, 4)]
MACHINE = {"cpu": "AMD EPYC", "cpus": 2, "packages": {"torch": "2.13.0"}, "load": 0.1}
DESIGNS = {
    "until decided": {"verdicts": 14.3, "trials": 485.5, "verdicts_an_hour": 21.7},
    "40 seeds": {"verdicts": 13.2, "trials": 640.0, "verdicts_an_hour": 15.6},
}
STORED = {
    "datetime": "2026-11-25T06:00:00+00:00",
    "benchmarks": [
        trials("lm6", "LMModel6", notebook=24.0, script=9.0, learner=8.0, loop=6.0),
        trials("lm4", "LMModel4", notebook=12.0, script=3.0, learner=2.5, loop=2.0),
        trials("gru-after", "GRU, reset after", learner=12.0, loop=10.0),
        benchmark(
            "study",
            trials={"notebook": 8, "unrolled": 40},
            seconds={"notebook": [80.0], "unrolled": [88.0]},
            trials_an_hour={"notebook": 360.0, "unrolled": 1636.4},
            ratio=4.546,
        ),
        benchmark("throughput", peak=1e11, machine=MACHINE, cells=CELLS),
        benchmark("verdicts", contrasts=15, designs=DESIGNS),
        benchmark("growth", points=[*SQUARE, *LINEAR]),
        overhead("unrolled --help", 0.06, 0.25),
        overhead("1000 finished trials", 130.0, 120, memory=410.0, memory_most=400, parts={"recorded": 5.0}),
        overhead("CPU seconds beside training", 100.0, 8, value=4.5),
        benchmark("another", what="not ours"),
    ],
}
README = "# Unrolled\n\n<!-- speed: filled by a command -->\nold\n<!-- /speed -->\n\nrest\n"


def test_the_answer_states_the_goal_the_gains_and_the_limits():
    hourly, gains, limits = answer(STORED)
    assert "1\u202f636 trials an hour" in hourly and "×4.5 the 360 of the chapter's notebook" in hourly
    assert "×4.0 to ×6.0 less time" in gains, "24 s against 6 s, and 12 s against 2 s"
    assert limits == "2 of 4 limits on what is not training are kept."


def test_the_page_holds_every_model_against_its_peers(tmp_path):
    page = render(STORED, tmp_path)
    assert page == tmp_path / "benchmarks.html"
    text = text_of(page)
    assert "LMModel6 24.00 9.00 8.00 6.00 ×4.00 ×1.50 ×1.33" in text
    assert "GRU, reset after – – 12.00 10.00 – – ×1.20" in text
    assert "1000 finished trials 130.00 s 120 s ✕ memory of the parent meanwhile 410.00 MiB 400 MiB ✕" in text
    assert "Processor AMD EPYC" in text and "torch 2.13.0" in text
    assert "not ours" not in text


def test_the_page_holds_seeds_until_decided_against_a_fixed_number(tmp_path):
    text = text_of(render(STORED, tmp_path))
    assert "until decided 14.3 486 21.7 40 seeds 13.2 640 15.6" in text
    assert metrics(STORED)["verdicts/until decided"] == 21.7


def test_throughput_is_the_median_of_the_rounds_and_a_share_of_the_limit(tmp_path):
    assert medians(CELLS[0]["measured"])["train"] == 2e5
    assert medians([{"train": 1.0, "gpu": 9.0}, {"train": 3.0}]) == {"train": 2.0}, "as far as all have it"
    text = text_of(render(STORED, tmp_path))
    assert "LMModel6 64 64 200 000 600 000 40.0 40 %" in text, "4·10¹⁰ of 10¹¹ operations a second"


def test_an_exponent_is_the_slope_of_the_logarithms():
    found = {curve.what: curve for curve in curves(STORED)}
    assert found["hidden"].exponent == pytest.approx(2), "cost in the square of the size, an outlier apart"
    assert found["seeds"].exponent == pytest.approx(1)


def test_a_gpu_shows_its_memory_and_how_much_of_it_was_used(tmp_path):
    used = [{**pace(1e6), "gpu_memory_peak": 1234.0, "gpu_utilisation": 87.0}]
    cells = [{"model": "lm6", "batch": 64, "hidden": 64, "measured": used}]
    gpu = benchmark("throughput", peak=5e13, machine={"gpu": "NVIDIA H100"}, cells=cells)
    trials = [one for one in STORED["benchmarks"] if one["group"] == "trials"]
    stored = {"benchmarks": [gpu, *trials]}
    text = text_of(render(stored, tmp_path))
    assert "GPU memory, MiB GPU in use, %" in text and "1 234 87" in text
    assert "on the GPU" in text and "GPU NVIDIA H100" in text
    assert "One trial on the GPU takes ×4.0 to ×6.0 less time" in text
    said = "The notebook trains on the CPU"
    assert said in text and said not in text_of(render(STORED, tmp_path))


def test_the_page_is_self_contained_and_the_same_each_time(tmp_path):
    first = render(STORED, tmp_path / "a").read_text(encoding="utf-8")
    assert first == render(STORED, tmp_path / "b").read_text(encoding="utf-8")
    assert is_self_contained(first)


def test_timings_of_something_else_are_refused(tmp_path):
    with pytest.raises(BadInput, match="no benchmark of this project; `make bench`"):
        render({"benchmarks": [benchmark(None)]}, tmp_path)


def test_the_readme_gets_a_row_a_model_and_keeps_the_rest():
    filled = readme(README, STORED)
    assert filled.startswith("# Unrolled\n\n<!-- speed: filled by a command -->\n| model |")
    assert "| LMModel6 | 24.0 | 9.0 | 8.0 | 6.0 | ×4.0 |\n" in filled
    assert "| LMModel4 | 12.0 | 3.0 | 2.5 | 2.0 | ×6.0 |\n" in filled
    assert "GRU, reset after" not in filled, "the notebook does not train it"
    assert "old" not in filled and filled.endswith("<!-- /speed -->\n\nrest\n")
    assert "1\u202f636 trials an hour" in filled
    assert readme(filled, STORED) == filled


def test_a_readme_without_the_block_is_refused():
    with pytest.raises(BadInput, match="write <!-- speed --> and <!-- /speed -->"):
        readme("# Unrolled\n", STORED)
    with pytest.raises(BadInput, match="no model against the chapter's notebook"):
        readme(README, {"benchmarks": []})


def test_every_number_has_a_name_for_mlflow():
    found = metrics(STORED)
    assert found["seconds/lm6 loop"] == 6.0
    assert found["hourly/ratio"] == pytest.approx(4.546)
    assert found["train/lm6 batch 64 hidden 64"] == 2e5
    assert found["overhead/CPU seconds beside training"] == 4.5
