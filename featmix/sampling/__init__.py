"""All randomness of featmix, drawn on the host with NumPy.

:func:`~featmix.sampling.draws.stream` makes a NumPy generator of one number that a ``torch.Generator`` gives. Everything of
one decision is drawn from that stream, in a few vectorised calls.
"""
