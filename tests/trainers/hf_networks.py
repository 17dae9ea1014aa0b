"""Hugging Face models from configurations, as small as can be, with data for them; nothing is downloaded."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

transformers = pytest.importorskip("transformers")
accelerate = pytest.importorskip("accelerate")

WIDTH = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_hidden_layers": 2}


def forgetting():
    """Before and after a test, for Accelerate keeps its settings for the whole process."""
    forget()
    yield
    forget()


def forget():
    accelerate.state.AcceleratorState._reset_state()
    accelerate.state.GradientState._reset_state()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def vit(**settings):
    """16 tokens of 8 numbers behind a class token, and scores of three classes."""
    config = transformers.ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=3, **WIDTH)
    return made(transformers.ViTForImageClassification, config, settings)


def bert(**settings):
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.BertConfig(
        vocab_size=20, max_position_embeddings=8, num_labels=3, initializer_range=0.3, **WIDTH, **dropout
    )
    return made(transformers.BertForSequenceClassification, config, settings)


def ast(**settings):
    """A spectrogram of 8 frames and 8 bands, in patches of 4, behind two tokens of its own."""
    config = transformers.ASTConfig(
        patch_size=4, frequency_stride=4, time_stride=4, max_length=8, num_mel_bins=8, num_labels=3, **WIDTH
    )
    return made(transformers.ASTForAudioClassification, config, settings)


def wav2vec2(**settings):
    """Waves of 64 samples become 16 frames."""
    config = transformers.Wav2Vec2Config(
        conv_dim=(8, 8),
        conv_stride=(2, 2),
        conv_kernel=(2, 2),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
        num_labels=3,
        apply_spec_augment=False,
        layerdrop=0.0,
        **dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0),
        **WIDTH,
    )
    return made(transformers.Wav2Vec2ForSequenceClassification, config, settings)


def made(cls, config, settings):
    for name, value in settings.items():
        setattr(config, name, value)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cls(config).train()


def pictures(rows=10, labels=None):
    x = torch.rand(rows, 1, 8, 8, generator=seeded(1))
    return together(labels if labels is not None else classes(rows), pixel_values=x)


def spectrograms(rows=10):
    return together(classes(rows), input_values=torch.randn(rows, 8, 8, generator=seeded(1)))


def waves(rows=10):
    return together(classes(rows), input_values=torch.randn(rows, 64, generator=seeded(1)))


def sentences(rows=10):
    """Words of 8 tokens at most, padded."""
    words = torch.randint(1, 20, (rows, 8), generator=seeded(1))
    real = torch.arange(8) < torch.randint(4, 9, (rows, 1), generator=seeded(2))
    return together(classes(rows), input_ids=words * real, attention_mask=real.long())


def classes(rows):
    return torch.arange(rows) % 3


def together(labels, **columns):
    columns["labels"] = labels
    return [{name: column[row] for name, column in columns.items()} for row in range(len(labels))]


def batch(rows):
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def weights(model):
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])
