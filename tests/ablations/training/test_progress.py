"""What is shown while trials run, on a terminal."""

import re

from unrolled.ablations.training.progress import show_progress
from unrolled.bench.chapter.trial import ChapterTrial
from unrolled.bench.trial import failed_result


def test_a_study_s_name_is_no_markup_and_no_command_to_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setenv("COLUMNS", "200")
    trial = ChapterTrial(model="lm4", seed=0)
    with show_progress("a[/b]\x1b]0;owned", {trial.id: "arm\x1b]0;too"}, [], lambda: (0, "")) as show:
        show(failed_result(trial, "no\x1b]0;reason"))
    shown = capsys.readouterr().out
    assert "a[/b]␛]0;owned" in shown
    assert "arm␛]0;too: FAILED: no␛]0;reason" in shown
    assert "\x1b]0;" not in shown


def test_a_terminal_of_80_columns_shows_the_bar_the_time_left_and_what_was_decided(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    trial, standing = (
        ChapterTrial(model="lm4", seed=0),
        ["look 1 of 5, 0 of 4 contrasts decided; open: all of them"],
    )
    names = {trial.id: "an arm with quite a long name/seed=0"}
    with show_progress("toggles", names, [], lambda: (101, standing[0])) as show:
        standing[0] = "look 2 of 5, 3 of 4 contrasts decided; open: one"
        show(failed_result(trial, "no memory"))
    shown = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().out)
    assert f"toggles: {standing[0]}\n" in shown
    assert re.search("(?m)toggles +━.* 1/102 .* [0-9]+ s left an arm", shown)
