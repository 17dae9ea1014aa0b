"""Tables for papers, in LaTeX with booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from featmix.compare.escaping import for_terminal

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{letter: "\\" + letter for letter in "&%$#_{}"},
}


def escaped(text: str) -> str:
    r"""Return text with LaTeX's special characters escaped.

    Example:
        >>> print(escaped("moex:norm=in_b 50 %"))
        moex:norm=in\_b 50 \%
    """
    return "".join(_SPECIAL.get(letter, letter) for letter in for_terminal(text))


def table(head: Sequence[str], body: Sequence[Sequence[str]], *, caption: str, label: str) -> str:
    """Return a ``table`` with ``tabular`` inside, the first column aligned left; it needs the package booktabs.

    Args:
        head: Names of the columns.
        body: Lines of the same length as the head.
        caption: The caption.
        label: The label, for ``ref``.
    """
    lines = [" & ".join(map(escaped, line)) + r" \\" for line in (head, *body)]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escaped(caption)}}}",
            rf"  \label{{{label}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"    \toprule",
            f"    {lines[0]}",
            r"    \midrule",
            *(f"    {line}" for line in lines[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )
