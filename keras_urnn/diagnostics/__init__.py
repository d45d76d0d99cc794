"""What a recurrent matrix is, and what a recurrence does to states and gradients."""

from keras_urnn.diagnostics.profiles import gradient_norm_profile, state_norm_profile
from keras_urnn.diagnostics.spectrum import (
    determinant_sign,
    eigen_angles,
    spectral_norm,
    unitarity_error,
)

__all__ = [
    "determinant_sign",
    "eigen_angles",
    "gradient_norm_profile",
    "spectral_norm",
    "state_norm_profile",
    "unitarity_error",
]
