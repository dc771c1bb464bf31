"""What a message advises can be done: the verb and the key are there, the flag is that verb's."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import typer
from pydantic import BaseModel

from hitl.cli.verbs import app
from hitl.project.config import ProjectConfig
from models.registry import MODELS, models_with, segmenter_class
from tests.source_texts import Text, source_texts

QUOTED = re.compile(r"`hitl(?: ([a-z]+))?([^`]*)`")
BARE = re.compile(r"\bhitl ([a-z]+)((?: (?:\{\}|[A-Z]+|--[a-z-]+|[a-z]+(?= --|\b(?=$)))*)*)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMANDS: Any = typer.main.get_command(app)
FLAGS = {
    name: {flag for parameter in command.params for flag in parameter.opts} | {"--help"}
    for name, command in COMMANDS.commands.items()
}

SHOWN_BY = """
hitl/cli/printing/evaluation.py       --all --json                          score
hitl/cli/printing/evaluation.py       --compare                             evaluate
hitl/cli/demo.py                      --split --labels                      add
hitl/cli/printing/labelling.py        --json                                diff
hitl/cli/printing/queue.py            --time                                correct
hitl/cli/verbs/rounds.py              --model --kind --evaluation --errors  queue
hitl/cli/verbs/rounds.py              --why --force                         promote
hitl/evaluation/agreement.py          --project --field                     agreement
hitl/evaluation/metrics/boundary.py   --spacing-um                          score
hitl/evaluation/metrics/detection.py  --spacing-um                          score
hitl/evaluation/options.py            --border                              score evaluate agreement
hitl/evaluation/options.py            --spacing-um                          score
hitl/evaluation/requests.py           --split                               evaluate
hitl/evaluation/requests.py           --project --field --self --names      agreement
hitl/evaluation/requests.py           --axes --spacing-um                   agreement
hitl/evaluation/results.py            --evaluation                          queue
hitl/evaluation/score_files.py        --axes --spacing-um                   score
hitl/labelling/add.py                 --channel-name --channel              add
hitl/labelling/add.py                 --along --class                       add
hitl/labelling/bootstrap.py           --replace                             bootstrap
hitl/labelling/exchange/export.py     --format                              export
hitl/labelling/exchange/importing.py  --verified                            import
hitl/labelling/exchange/plausible.py  --yes                                 import
hitl/labelling/given_labels.py        --labels                              add
hitl/labelling/proposals.py           --model                               propose
hitl/labelling/propose.py             --model                               propose
hitl/labelling/requests.py            --time-step-s --along                 add
hitl/labelling/requests.py            --channel --class                     add
hitl/measure/collected.py             --fucci                               measure
hitl/measure/fucci.py                 --thresholds                          measure
hitl/measure/output.py                --output --overwrite                  measure
hitl/measure/project.py               --round --model                       measure
hitl/measure/requests.py              --neighbour-um --fucci --thresholds   measure
hitl/measure/requests.py              --format --labels --image --axes      measure
hitl/measure/requests.py              --spacing-um --output --field         measure
hitl/measure/requests.py              --class --round --model               measure
hitl/measure/sources.py               --spacing-um                          measure
hitl/prediction/files.py              --overwrite --set                     segment
hitl/prediction/predict.py            --model --class                       predict propose measure
hitl/prediction/predict.py            --output                              predict
hitl/prediction/requests.py           --segmenter --model --class           segment
hitl/prediction/segmenters.py         --set                                 segment bootstrap
hitl/prediction/segmenters.py         --class                               segment
hitl/project/classes.py               --channel --class                     add
hitl/project/classes.py               --channel                             segment synth
hitl/project/config.py                --config                              init sweep
hitl/project/folder.py                --annotator                           correct import
hitl/project/options.py               --set                                 bootstrap segment train
hitl/project/options.py               --meta --labels --class               add
hitl/project/removal.py               --yes                                 remove
hitl/project/runs.py                  --model                               predict propose
hitl/queue/build.py                   --limit                               queue correct
hitl/report/write.py                  --places --output --overwrite         report
hitl/review/session/project_session.py --time --annotator                   correct
hitl/simulate/project_fields.py       --retrain --field                     simulate
hitl/simulate/requests.py             --like --like-project --field         synth
hitl/simulate/requests.py             --labels --axes --channel             synth
hitl/simulate/rounds.py               --rounds                              simulate
hitl/simulate/stacks.py               --seed --overwrite --field --set      synth
hitl/training/folds.py                --folds --by --field                  sweep
hitl/training/promote.py              --force --why                         promote
hitl/training/requests.py             --grid --seeds                        sweep
hitl/training/samples.py              --class --field                       train sweep
hitl/training/sweep/grid.py           --grid                                sweep
hitl/training/sweep/running.py        --sort --name --yes --evaluate        sweep
hitl/training/sweep/running.py        --retry-failed                        sweep
annotations/formats/checks.py         --axes                                add import segment score
annotations/formats/checks.py         --axes                                measure agreement synth
annotations/formats/checks.py         --axes --spacing-um                   demo add segment measure
annotations/formats/checks.py         --spacing-um                          synth
annotations/formats/field_labels.py   --axes                                import
annotations/formats/joined.py         --spacing-um                          add
annotations/store.py                  --field                               add
models/base.py                        --channel                             segment
models/scarce_memory.py               --set                                 segment
models/smp2d/predict.py               --class                               segment
"""
"""Module, flags that its texts name without a verb, and the verbs that show them."""


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Give each verb that a text names, and what stands behind it."""
    for found in QUOTED.finditer(text):
        if found[1]:
            yield found[1], found[2]
    for found in BARE.finditer(QUOTED.sub("", text)):
        yield found[1], found[2]


def without_commands(text: str) -> str:
    return BARE.sub("", QUOTED.sub("", text))


def shown_by() -> dict[tuple[str, str], set[str]]:
    rows: dict[tuple[str, str], set[str]] = {}
    for line in SHOWN_BY.strip().splitlines():
        module, *words = line.split()
        flags = [word for word in words if word.startswith("--")]
        for flag in flags:
            rows.setdefault((module, flag), set()).update(words[len(flags) :])
    return rows


def bare_flags() -> dict[tuple[str, str], Text]:
    """Flags in texts that name no verb for them; what declares a flag is no text."""
    return {
        (each.module, flag): each
        for each in source_texts()
        if not each.docstring and not FLAG.fullmatch(each.text.strip())
        for flag in FLAG.findall(without_commands(each.text))
        if flag != "--help"
    }


def test_every_verb_that_a_text_names_is_there_and_takes_the_flags_behind_it() -> None:
    wrong, seen = [], 0
    for each in source_texts():
        for verb, rest in commands(each.text):
            seen += 1
            if verb not in FLAGS or not set(FLAG.findall(rest)) <= FLAGS[verb]:
                wrong.append(f"hitl {verb}{rest} in {each}")
    assert wrong == []
    assert seen > 90


def test_every_flag_that_a_text_names_is_one_of_the_verbs_that_show_it() -> None:
    rows, found = shown_by(), bare_flags()
    untold = {key: str(each) for key, each in found.items() if key not in rows}
    assert untold == {}, "name the verb in the text, or say in SHOWN_BY which verbs show it"
    assert rows.keys() - found.keys() == set(), "no text names these any more"
    wrong = [
        f"hitl {verb} has no {flag}: {found[module, flag]}"
        for (module, flag), verbs in rows.items()
        for verb in sorted(verbs)
        if flag not in FLAGS[verb]
    ]
    assert wrong == []


def test_every_key_of_the_config_that_a_text_names_is_there() -> None:
    sections = "|".join(ProjectConfig.model_fields)
    named = re.compile(rf"(?<![\w./{{])({sections})\.([a-z_]+)(?!\w|\(|/)")
    wrong, seen = [], 0
    for each in source_texts():
        if each.docstring:
            continue
        for section, key in named.findall(each.text):
            kind = ProjectConfig.model_fields[section].annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                seen += 1
                wrong += [] if key in kind.model_fields else [str(each)]
    assert wrong == []
    assert seen > 2


def test_every_option_that_a_segmenter_asks_for_is_its_own() -> None:
    asked = re.compile(r"\bgive ([a-z]+(?:_[a-z]+)+)\b")
    seen = 0
    for each in source_texts():
        for option in asked.findall(each.text):
            if each.module.startswith("models/"):
                seen += 1
                own = each.module.split("/")[1]
                # What all models share may ask for what any of them takes.
                asked_of = [own] if own in MODELS else [*models_with("segmenter")]
                kinds: list[Any] = [segmenter_class(name) for name in asked_of]
                options = {item.name for kind in kinds for item in dataclasses.fields(kind)}
                assert option in options, str(each)
    assert seen >= 3
