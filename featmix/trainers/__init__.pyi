"""The names of featmix.trainers for editors and type checkers. Written by tools/stubs.py; do not edit."""

from featmix.trainers import accelerate as accelerate
from featmix.trainers import asking as asking
from featmix.trainers import criteria as criteria
from featmix.trainers import inside as inside
from featmix.trainers import lightning as lightning
from featmix.trainers import state_files as state_files
from featmix.trainers import timm as timm
from featmix.trainers import timm_losses as timm_losses
from featmix.trainers import timm_mixup as timm_mixup
from featmix.trainers import timm_script as timm_script
from featmix.trainers import transformers as transformers
from featmix.trainers import transformers_loss as transformers_loss
from featmix.trainers import transformers_run as transformers_run
