// sigstore-verify.mjs BUNDLE TRUSTED_ROOT PUBKEY.pem MANIFEST
//
// Judges one key-signed Sigstore bundle offline with @sigstore/verify: at least
// one log entry and one timestamp. That library does not look at the artifact
// of a DSSE bundle, so the digest of MANIFEST is looked up among the signed
// subjects here. Exit 0: all holds, 1: refused (the reason on stderr), 2: usage.
import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { bundleFromJSON } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { Verifier, toSignedEntity, toTrustMaterial } from '@sigstore/verify';

const [bundlePath, rootPath, keyPath, manifestPath] = process.argv.slice(2);
if (!manifestPath) {
  console.error('usage: sigstore-verify.mjs BUNDLE TRUSTED_ROOT PUBKEY.pem MANIFEST');
  process.exit(2);
}

const json = (path) => JSON.parse(readFileSync(path, 'utf8'));

function judge() {
  const bundle = bundleFromJSON(json(bundlePath));
  const hint = bundle.verificationMaterial.content.publicKey?.hint;
  if (hint === undefined) throw new Error('bundle is not signed by a plain key');
  const rawBytes = createPublicKey(readFileSync(keyPath)).export({ type: 'spki', format: 'der' });
  const trust = toTrustMaterial(TrustedRoot.fromJSON(json(rootPath)), { [hint]: { rawBytes } });
  new Verifier(trust, { ctlogThreshold: 0, tlogThreshold: 1, timestampThreshold: 1 }).verify(toSignedEntity(bundle));

  const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString('utf8'));
  const digest = createHash('sha256').update(readFileSync(manifestPath)).digest('hex');
  const subject = statement.subject.find((s) => s.digest.sha256 === digest);
  if (!subject) throw new Error(`no subject has the digest ${digest} of ${manifestPath}`);
  return `verified: subject ${subject.name} of ${statement.subject.length}, ${statement.predicateType}`;
}

try {
  console.log(judge());
} catch (err) {
  console.error(`refused: ${err.message}`);
  process.exit(1);
}
