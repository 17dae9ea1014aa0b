"""Mistakes on the command line: arguments of ``featmix``, with what is written to stderr."""

COMMANDS: list[tuple[list[str], tuple[str, ...]]] = [
    (["show", "moexx"], ("a strategy", "'moexx'", "Did you mean 'moex'?")),
    (["show"], ("either a strategy or --pipeline", "featmix show moex")),
    (["show", "moex:alpha=0.4"], ("MoEx: alpha", "a setting of this strategy", "lam")),
    (["show", "moex", "--site", "layr1"], ("show: site", "'layr1'", "Did you mean 'layer1'")),
    (["show", "moex@layr1"], ("site", "'layr1'", "Did you mean 'layer1'")),
    (["compare", "moex@layr1"], ("compare: site", "'layr1'", "Did you mean 'layer1'")),
    (["compare", "moexx"], ("a strategy", "'moexx'", "Did you mean 'moex'?")),
    (["compare", "--seeds", "many"], ("seeds", "'many'")),
    (["compare", "--baseline", "mixp", "mixup"], ("compare: baseline", "Did you mean 'mixup'?")),
    (["compare", "--pipeline", "nowhere.yaml"], ("nowhere.yaml", "No such file")),
    (["compare", "--pipeline", "aug.yaml"], ("compare: site", "'1' in 'aug'", "stem, layer1", "mix={'stem': strategy}")),
    (["show", "--pipeline", "aug.yaml"], ("show: site", "'1' in aug.yaml", "stem, layer1", "model=model")),
    (["check", "moexx"], ("check: subject", "Did you mean 'moex'?")),
    (["check", "moex", "--laws", "replays"], ("check: law", "Did you mean 'replay'")),
    (["presets", "moex"], ("preset: name", "moex/imagenet-resnet50")),
]
