"""ELR+ against ELR: what two networks, weight averaging and mixup add."""

from _claim import Claim, main

CLAIMS = [
    Claim(
        "elr-plus",
        says="on CIFAR-10 images with 40 % wrong labels, human or planted, the last epoch of ELR+ is above ELR's",
        data=["cifar10n-worst", "cifar10n-symmetric-0.4"],
        against=["elr"],
    ),
]

if __name__ == "__main__":
    main(*CLAIMS)
