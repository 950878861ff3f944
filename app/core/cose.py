"""The same proof of inclusion as a COSE receipt (RFC 9942): the tree is RFC 9162's, the encoding CBOR.

A receipt is a COSE_Sign1 whose payload, the root, is left out: who has the leaf computes it from the proof, then checks the
signature over it. The log's key signs; `kid` is the name and key id of its vkey.
"""

from collections.abc import Callable, Sequence

import cbor2

ED25519 = -19
"""The algorithm by its full name (RFC 9864)."""
_ALG, _KID, _VDS, _PROOFS, _INCLUSION = 1, 4, 395, 396, -1
_RFC9162_SHA256 = 1
_SIGN1 = 18


def inclusion_receipt(
    index: int, size: int, path: Sequence[bytes], root: bytes, kid: bytes, sign: Callable[[bytes], bytes]
) -> bytes:
    """The receipt for leaf `index` of `size` with its hashes from leaf to root; `sign` makes an Ed25519 signature (64 bytes)."""
    protected = cbor2.dumps({_ALG: ED25519, _KID: kid, _VDS: _RFC9162_SHA256}, canonical=True)
    signature = sign(cbor2.dumps(["Signature1", protected, b"", root]))
    proof = cbor2.dumps([size, index, list(path)])
    body = [protected, {_PROOFS: {_INCLUSION: [proof]}}, None, signature]
    return cbor2.dumps(cbor2.CBORTag(_SIGN1, body))
