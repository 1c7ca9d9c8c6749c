"""OpenSSH signatures of bundles, made and checked by ssh-keygen (its manual, "-Y sign")."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.trial import BadInput

NAMESPACE = "unrolled-bundle"
"""The purpose that a signature is made for, and valid for."""


def of(file: Path) -> Path:
    """The path of a file's signature."""
    return file.with_name(f"{file.name}.sig")


def sign(file: Path, key: Path) -> Path:
    """Sign a file with a private key. Returns the signature's path, `file`.sig. Raises BadInput."""
    signature = of(file)
    signature.unlink(missing_ok=True)  # ssh-keygen would ask
    _ssh_keygen(["-Y", "sign", "-q", "-f", key, "-n", NAMESPACE, file], f"--sign {key}")
    return signature


def check(file: Path, signers: Path) -> str:
    """The signer of a file, who must be one of the allowed signers. Raises BadInput otherwise."""
    signature, place = of(file), f"--signers {signers}"
    if not signature.is_file():
        raise BadInput("there is no signature", place=signature, cure="ask for it, or leave --signers out")
    found = _ssh_keygen(["-Y", "find-principals", "-f", signers, "-s", signature], place).splitlines()
    how = ("-Y", "verify", "-f", signers, "-n", NAMESPACE, "-s", signature, "-I", found[0])
    _ssh_keygen(how, place, file.read_bytes())
    return found[0]


def _ssh_keygen(words: Sequence[str | Path], place: str, data: bytes = b"") -> str:
    try:
        done = subprocess.run(["ssh-keygen", *words], input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise BadInput("there is no ssh-keygen", place=place, cure="install OpenSSH") from error
    if done.returncode:
        why = " ".join((done.stderr or done.stdout).decode(errors="replace").split())[:200]
        raise BadInput(f"ssh-keygen refuses ({why})", place=place, cure="give another key or file")
    return done.stdout.decode(errors="replace")
