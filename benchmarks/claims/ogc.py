"""OGC against cross-entropy and against its own ablation (no tolerance: epsilon = 0)."""

from _claim import Claim, main

CLAIMS = [
    Claim(
        "ogc",
        says="with 40 % symmetric noise on digits the last epoch of OGC is at least 10 points above cross-entropy's",
        data=["digits-symmetric-0.4"],
        margin=10.0,
        seeds=5,
    ),
    Claim(
        "ogc",
        says="there, it is at least 3 points above OGC without tolerance (epsilon = 0)",
        data=["digits-symmetric-0.4"],
        against=["ogc-epsilon-0"],
        margin=3.0,
        seeds=5,
    ),
    Claim(
        "ogc",
        says="on CIFAR-10 images with 40 % wrong labels, human or planted, the last epoch of OGC is at least 2 points "
        "above cross-entropy's",
        data=["cifar10n-worst", "cifar10n-symmetric-0.4"],
        margin=2.0,
    ),
]

if __name__ == "__main__":
    main(*CLAIMS)
