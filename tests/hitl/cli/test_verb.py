"""An option of a verb is declared in one place: a field of its request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner, Result

from hitl.cli.verb import verb
from hitl.project.errors import UsageError
from hitl.project.options import Fields, Flag, Settings, parse_classes, parse_words


@dataclass(frozen=True, kw_only=True)
class Sauce:
    """What goes on top.

    Parameters
    ----------
    amount_ml : float
        How much of it.
    """

    amount_ml: Annotated[float, Flag(min=0)] = 20.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    Parameters
    ----------
    dish : str
        What to cook.
    plates : int
        For how many.
    table : Path, optional
        Where to bring it.
    size : {"small", "large"}
        How much of it.
    sides : tuple of str
        What goes with it (repeatable).
    fields : tuple of str
    settings : mapping
    guests : tuple of str
        Who eats.
    sauce : Sauce
    hot : bool
        With chili.
    """

    dish: str
    plates: Annotated[int, Flag(min=1, max=12)] = 2
    table: Annotated[Path | None, Flag(metavar="PLACE")] = None
    size: Literal["small", "large"] = "small"
    sides: Annotated[tuple[Literal["rice", "bread"], ...], Flag("--side")] = ()
    fields: Fields = ()
    settings: Annotated[Settings, Flag(help="Anything else.")] = field(default_factory=dict)
    guests: Annotated[tuple[str, ...], Flag(parse=lambda text: tuple(text.split("+")))] = ("me",)
    sauce: Annotated[Sauce, Flag(panel="On top")] = field(default_factory=Sauce)
    hot: bool = False

    def __post_init__(self) -> None:
        if self.hot and self.size == "large":
            raise UsageError("--hot is for a small one")


def served(request: type[Any], *arguments: str) -> tuple[Result, list[Any]]:
    """Give arguments to a verb with this request; return what came of it, and the requests."""
    kitchen = typer.Typer()
    got: list[Any] = []

    def serve(order: Any) -> tuple[dict[str, str], str]:
        """Cook something."""
        got.append(order)
        return {"dish": order.dish}, f"cooked {order.dish}"

    serve.__annotations__["order"] = request
    verb("Kitchen", to=kitchen)(serve)
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(kitchen, list(arguments)), got


def line_of(help_text: str, option: str) -> str:
    (line,) = [line for line in help_text.splitlines() if f" {option} " in line]
    return " ".join(line.replace("│", "").split())


def test_what_is_typed_becomes_the_request() -> None:
    typed = (
        "soup --plates 3 --table window --size large --side rice --side bread --field a "
        "--set salt=[1,2] --guests ann+bo --amount-ml 5"
    )
    result, (order,) = served(Order, *typed.split())
    assert (result.exit_code, result.output) == (0, "cooked soup\n")
    assert order == Order(
        dish="soup",
        plates=3,
        table=Path("window"),
        size="large",
        sides=("rice", "bread"),
        fields=("a",),
        settings={"salt": [1, 2]},
        guests=("ann", "bo"),
        sauce=Sauce(amount_ml=5.0),
    )


def test_what_is_not_typed_has_the_request_s_default() -> None:
    result, (order,) = served(Order, "soup", "--json")
    assert order == Order(dish="soup")
    assert result.output == '{"dish": "soup", "notes": []}\n'


def test_the_help_says_what_the_docstring_says() -> None:
    text = served(Order, "--help")[0].output
    assert "Cook something." in text
    assert line_of(text, "DISH") == "* DISH <str> What to cook. [required]"
    assert "[1<=x<=12]" in line_of(text, "--plates")
    assert line_of(text, "--plates").endswith("For how many. [default: 2]")
    assert line_of(text, "--table") == "--table PLACE Where to bring it."
    assert "<small|large>" in line_of(text, "--size")
    assert "What goes with it (repeatable)." in line_of(text, "--side")
    assert line_of(text, "--amount-ml").endswith("How much of it. [default: 20.0]")
    assert line_of(text, "--set") == "--set KEY=VALUE Anything else."
    assert text.index("On top") < text.index("--amount-ml")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--plates", "0"], "greater than or equal to 1"),
        (["--plates", "13"], "less than or equal to 12"),
        (["--amount-ml", "-1"], "greater than or equal to 0"),
        (["--size", "huge"], "'huge' is not one of"),
        (["--side", "cake"], "'cake' is not one of"),
        (["--hot", "--size", "large"], "--hot is for a small one"),
        (["--spoon"], "No such option: --spoon"),
    ],
)
def test_what_cannot_be_is_wrong_usage(typed: list[str], said: str) -> None:
    result, got = served(Order, "soup", *typed)
    assert (result.exit_code, got) == (2, [])
    assert said in " ".join(result.output.replace("│", "").split())


def test_a_new_field_is_a_new_option() -> None:
    assert served(Order, "soup", "--spoons", "2")[0].exit_code == 2
    spoons = ("spoons", Annotated[int, Flag(min=0, help="To eat with.")], field(default=1))
    larger = make_dataclass("Larger", [spoons], bases=(Order,), frozen=True, kw_only=True)
    _, (order,) = served(larger, "soup", "--spoons", "2")
    assert order.spoons == 2
    assert served(larger, "soup")[1][0].spoons == 1
    text = served(larger, "--help")[0].output
    assert line_of(text, "--spoons").endswith("To eat with. [default: 1]")
    assert served(larger, "soup", "--spoons", "-1")[0].exit_code == 2


@dataclass(frozen=True, kw_only=True)
class Picnic:
    """What is taken along.

    Parameters
    ----------
    baskets : tuple of Path
        What is carried.
    notes : mapping
        Of the day.
    guests : tuple of (str, str)
        Each with a dish.
    dish : str
        Of one's own.
    """

    baskets: Annotated[tuple[Path, ...], Flag(metavar="BASKET", argument=True)]
    notes: Annotated[Mapping[str, str], Flag("--note", many=True, parse=parse_words)] = field(
        default_factory=dict
    )
    guests: Annotated[
        tuple[tuple[str, tuple[str, ...]], ...],
        Flag("--guest", also=("--friend", "--mate"), parse=parse_classes),
    ] = ()
    fields: Fields = ()
    dish: str = "none"


@pytest.mark.parametrize(
    ("typed", "baskets", "notes"),
    [
        ("a b --note sun=yes wind=no", "a b", {"sun": "yes", "wind": "no"}),
        ("--note sun=yes wind=no a b", "a b", {"sun": "yes", "wind": "no"}),
        ("a --note sun=yes wind=no b", "a b", {"sun": "yes", "wind": "no"}),
        ("a --note sun=yes --note wind=no", "a", {"sun": "yes", "wind": "no"}),
        ("a --note=sun=yes wind=no", "a", {"sun": "yes", "wind": "no"}),
        ("a --note sun=yes sun=yes b", "a b", {"sun": "yes"}),
        ("a --note sun=yes b c=d", "a b c=d", {"sun": "yes"}),
        ("--note sun=yes -- a=b", "a=b", {"sun": "yes"}),
        ("a=b c=d", "a=b c=d", {}),
    ],
)
def test_words_with_a_sign_belong_to_the_flag_before_them(
    typed: str, baskets: str, notes: dict[str, str]
) -> None:
    result, (picnic,) = served(Picnic, *typed.split())
    assert result.exit_code == 0, result.output
    assert picnic.baskets == tuple(Path(basket) for basket in baskets.split())
    assert picnic.notes == notes


def test_options_after_such_words_are_options() -> None:
    typed = "a --note sun=yes wind=no --guest ann=soup,bread --guest bo --field f --json"
    _, (picnic,) = served(Picnic, *typed.split())
    assert picnic.notes == {"sun": "yes", "wind": "no"}
    assert picnic.guests == (("ann", ("soup", "bread")), ("bo", ()))
    assert picnic.fields == ("f",)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("a --note", "Option '--note' requires an argument"),
        ("--note sun=yes", "Missing argument '"),
        ("", "Missing argument '"),
    ],
)
def test_a_flag_needs_a_word_and_a_place_a_value(typed: str, said: str) -> None:
    result, got = served(Picnic, *typed.split())
    assert (result.exit_code, got) == (2, [])
    assert said in " ".join(result.output.replace("│", "").split())


def test_former_spellings_are_taken_and_not_shown() -> None:
    typed = "a --friend ann --mate=bo=soup --stack f --stack=g"
    _, (picnic,) = served(Picnic, *typed.split())
    assert picnic.guests == (("ann", ()), ("bo", ("soup",)))
    assert picnic.fields == ("f", "g")
    text = served(Picnic, "--help")[0].output
    assert "--guest" in text and "--field" in text
    assert not any(old in text for old in ("--friend", "--mate", "--stack"))


TASTES: dict[str, str] = {"sweet": "with sugar"}


def tastes() -> dict[str, str]:
    return TASTES


@dataclass(frozen=True)
class Tasted:
    """A dish of a taste out of a table."""

    dish: str
    taste: Annotated[str, Flag(choices=tastes)] = "sweet"


def test_choices_are_those_that_the_table_has_when_the_verb_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert served(Tasted, "soup", "--taste", "sour")[0].exit_code == 2
    monkeypatch.setitem(TASTES, "sour", "with lemon")
    assert served(Tasted, "soup", "--taste", "sour")[1][0].taste == "sour"
    text = served(Tasted, "--help")[0].output
    assert "NAME sweet: with sugar" in line_of(text, "--taste")
    assert "sweet: with sugar; sour: with lemon" in line_of(text, "--taste")


def test_parameters_of_the_function_are_options_too() -> None:
    kitchen = typer.Typer()
    got: list[Mapping[str, Any]] = []

    def stir(
        spoon: str, minutes: Annotated[float, Flag(min=0)] = 1.5, *, fast: bool = False
    ) -> None:
        """Stir it.

        Parameters
        ----------
        minutes : float
            How long.
        """
        got.append({"spoon": spoon, "minutes": minutes, "fast": fast})

    stir.__annotations__.update(spoon=str, minutes=Annotated[float, Flag(min=0)], fast=bool)
    verb("Kitchen", to=kitchen)(stir)
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})
    assert runner.invoke(kitchen, ["wood", "--minutes", "2", "--fast"]).exit_code == 0
    assert got == [{"spoon": "wood", "minutes": 2.0, "fast": True}]
    assert runner.invoke(kitchen, ["wood", "--minutes", "-2"]).exit_code == 2
    text = runner.invoke(kitchen, ["--help"]).output
    assert line_of(text, "--minutes").endswith("How long. [default: 1.5]")
    assert "Stir it." in text and "Parameters" not in text
    assert "--json" not in text
