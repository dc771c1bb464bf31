"""The verb that draws synthetic stacks."""

from __future__ import annotations

from hitl.cli.console import Console
from hitl.cli.verb import Result, verb
from hitl.simulate.requests import SynthRequest


@verb("Without a project")
def synth(request: SynthRequest, out: Console) -> Result:
    """Draw synthetic stacks with their exact truth, of many looks or like your own."""
    from hitl.cli.printing.project import model_options
    from hitl.cli.printing.simulation import synthesised
    from hitl.simulate.stacks import generator_options, synthesise

    if request.options:
        return model_options(generator_options())
    return synthesised(synthesise(request, out))
