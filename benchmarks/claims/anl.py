"""ANL against cross-entropy, at the noise rate of its dossier's experiment and on human labels."""

from _claim import Claim, main

CLAIMS = [
    Claim(
        "anl",
        says="with 60 % symmetric noise on digits the last epoch of ANL is at least 15 points above cross-entropy's",
        data=["digits-symmetric-0.6"],
        margin=15.0,
        seeds=5,
    ),
    Claim(
        "anl",
        says="on CIFAR-10 images with 40 % wrong labels, human or planted, the last epoch of ANL is at least 2 points "
        "above cross-entropy's",
        data=["cifar10n-worst", "cifar10n-symmetric-0.4"],
        margin=2.0,
    ),
]

if __name__ == "__main__":
    main(*CLAIMS)
