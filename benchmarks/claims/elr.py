"""ELR against cross-entropy, on its dossier's experiment, on real human labels and on real distant labels."""

from _claim import Claim, main

CLAIMS = [
    Claim(
        "elr",
        says="with 40 % symmetric noise on digits the last epoch of ELR is at least 2 points above cross-entropy's",
        data=["digits-symmetric-0.4-short"],
        margin=2.0,
        seeds=5,
    ),
    Claim(
        "elr",
        says="on CIFAR-10 images with 40 % wrong labels, human or planted, the last epoch of ELR is at least 2 points "
        "above cross-entropy's",
        data=["cifar10n-worst", "cifar10n-symmetric-0.4"],
        margin=2.0,
    ),
]

if __name__ == "__main__":
    main(*CLAIMS)
