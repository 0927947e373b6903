"""What provenance/verify_bundle.mjs says of bundles; signed here by `cryptography`, so that neither our code nor npm's made both sides."""

import base64
import hashlib
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HERE = Path(__file__).resolve().parent
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "bank-payments", "digest": {"sha256": "00" * 32}}],
    "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
    "predicate": {"result": "PASSED", "configuration": []},
}


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def spki(key: ec.EllipticCurvePrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def bundle(key: ec.EllipticCurvePrivateKey) -> dict:
    """A Sigstore bundle of the statement, as its format is published."""
    payload = json.dumps(STATEMENT).encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.3",
        "verificationMaterial": {"publicKey": {"hint": base64_of(hashlib.sha256(spki(key, serialization.Encoding.DER)).digest())}},
        "dsseEnvelope": {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64_of(payload),
            "signatures": [{"keyid": "", "sig": base64_of(signature)}],
        },
    }


class VerifyBundle(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        subprocess.run([HERE / "setup_npm.sh", "provenance"], check=True, stdout=subprocess.DEVNULL)

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.key = ec.generate_private_key(ec.SECP256R1())
        (self.folder / "key.pem").write_bytes(spki(self.key, serialization.Encoding.PEM))

    def verify(self, *bundles: object) -> tuple[int, str]:
        """Exit code and all that is said; files are named by their place."""
        names = [f"{place}.json" for place in range(len(bundles))]
        for name, content in zip(names, bundles):
            (self.folder / name).write_text(json.dumps(content))
        command = ["node", HERE / "provenance" / "verify_bundle.mjs", "key.pem", *names]
        done = subprocess.run(command, cwd=self.folder, text=True, capture_output=True)
        return done.returncode, done.stdout + done.stderr

    def test_a_bundle_that_is_signed_by_the_key_holds(self) -> None:
        self.assertEqual(
            self.verify(bundle(self.key), bundle(self.key)),
            (
                0,
                "holds: `0.json`: https://in-toto.io/attestation/test-result/v0.1, subjects: 1\n"
                "holds: `1.json`: https://in-toto.io/attestation/test-result/v0.1, subjects: 1\n",
            ),
        )

    def test_a_changed_payload_type_or_signature_fails(self) -> None:
        for change in (
            {"payload": base64_of(json.dumps(STATEMENT | {"predicate": {}}).encode())},
            {"payloadType": "application/json"},
            {"signatures": [{"keyid": "", "sig": bundle(self.key)["dsseEnvelope"]["signatures"][0]["sig"][:-8] + "AAAAAAA="}]},
        ):
            changed = bundle(self.key)
            changed["dsseEnvelope"] |= change
            code, said = self.verify(bundle(self.key), changed)
            self.assertEqual(code, 1, said)
            self.assertIn("holds: `0.json`", said)
            self.assertIn("fails: `1.json`", said)

    def test_another_key_fails(self) -> None:
        other = bundle(ec.generate_private_key(ec.SECP256R1()))
        code, said = self.verify(other)
        self.assertEqual(code, 1)
        self.assertIn("the bundle names the key", said)
        other["verificationMaterial"] = bundle(self.key)["verificationMaterial"]
        self.assertEqual(self.verify(other), (1, "fails: `0.json`: signature verification failed\n"))

    def test_what_is_no_bundle_fails(self) -> None:
        self.assertEqual(self.verify({}), (1, "fails: `0.json`: invalid bundle\n"))

    def test_wrong_use(self) -> None:
        self.assertEqual(self.verify(), (2, "usage: verify_bundle.mjs KEY.pem BUNDLE.sigstore.json…\n"))
        (self.folder / "key.pem").write_text("no key")
        self.assertEqual(self.verify({})[0], 2)


if __name__ == "__main__":
    unittest.main()
