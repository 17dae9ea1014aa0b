"""The page on planted faults: each is tested again here, so that the table is right.

Laws that are not drawn either refuse or do not, which the tests show; running those again would only cost time.
"""

import hypothesis
import torch
from readme_table import markdown_table

from featmix.testing import laws
from tests.broken import faults, law_named, tried_until_refused

INTRODUCTION = """\
A law that cannot fail proves nothing. So the tests have {faults} strategies and normalizers that are wrong on purpose, each in
one way, and every one of the {laws} laws has to refuse at least one of them. {refused} are refused, each by the law
named beside it. The last column says at which input the law failed.
"""

SURVIVORS = """\
No law refuses these, for the reason given:
"""


def pages() -> dict[str, str]:
    hypothesis.settings.register_profile("docs", derandomize=True, print_blob=False)
    hypothesis.settings.load_profile("docs")
    known = {law.name: place for place, law in enumerate(laws())}
    refused = sorted((one for one in faults if not one.survives), key=lambda one: (one.kind, known[one.refused_by], one.name))
    survivors = [[f"`{one.name}`", one.wrong, one.survives] for one in faults if one.survives]
    rows = [[f"`{one.name}`", one.wrong, one.kind, f"`{one.refused_by}`", _tried(one)] for one in refused]
    parts = [
        INTRODUCTION.format(faults=len(faults), laws=len(known), refused=len(refused)),
        markdown_table(["fault", "what is wrong", "in a", "refused by", "inputs"], rows),
        SURVIVORS if survivors else "",
        markdown_table(["fault", "what is wrong", "why it passes"], survivors) if survivors else "",
    ]
    return {"parts/planted_faults.md": "\n".join(part for part in parts if part)}


def _tried(fault) -> str:
    law = law_named(fault.refused_by)
    if not law.drawn:
        return "the law's own"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tried = tried_until_refused(fault, law)
    finally:
        torch.set_num_threads(threads)
    if tried is None:
        raise ValueError(f"{law.name} does not refuse {fault.name}")
    return str(tried)
