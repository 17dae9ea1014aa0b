"""The names of featmix.trainers for editors and type checkers. Written by tools/stubs.py; do not edit."""

from featmix.trainers import asking as asking
from featmix.trainers import criteria as criteria
from featmix.trainers import inside as inside
from featmix.trainers import lightning as lightning
