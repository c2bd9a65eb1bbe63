"""Generalised cross-entropy, the default of `robust-loss`, against cross-entropy."""

from _claim import Claim, main

CLAIMS = [
    Claim(
        "gce",
        says="with 40 % symmetric noise on digits the last epoch of GCE is at least 10 points above cross-entropy's",
        data=["digits-symmetric-0.4"],
        margin=10.0,
        seeds=5,
    ),
    Claim(
        "gce",
        says="on CIFAR-10 images with 40 % wrong labels, human or planted, the last epoch of GCE is above "
        "cross-entropy's",
        data=["cifar10n-worst", "cifar10n-symmetric-0.4"],
    ),
]

if __name__ == "__main__":
    main(*CLAIMS)
