// Package holdfast holds the words, the formats and the verifier: everything
// that an expert must read to know what a Bundle proves. It opens no network
// connection, no database and no file; it reads an io.ReaderAt and a Policy.
//
// # The promise
//
// A Capture that was accepted is never lost, never altered unnoticed, and
// never called sealed before a signature, a log proof and a quorum of
// independent timestamps are there. One file, the Bundle, shows all of it to a
// stranger, years later, without us.
//
// # The words
//
// A Source is what is watched. A Capture is one act of acquisition; it owns
// Objects, each one bitstream named by its Digest. An Event is something done,
// not acquired: a line of a Case's Custody chain, sealed like a Capture. The
// [Manifest] lists a Capture's Objects and how they were acquired. A batch of
// Manifests gets one Seal: a [Statement] whose subjects are their Digests,
// signed by a node, entered in the node's log, timestamped by authorities of
// several operators. A Bundle is the ZIP that carries Manifests, Objects,
// Seals and the material to check them. A [Policy] says whom a verifier
// trusts. [Verify] answers with a [Report] of Findings, each `proven` or
// `stated`: findings are data, an error means that looking failed.
//
// # The way of a Capture, and who reads what
//
// collectors acquire, pipeline accepts and orders, preserve seals, storage
// keeps, catalog finds, export writes the Bundle; cmd joins them. This package
// is below all of them. It stands on three small rooms that know standards
// only: hashing (SHA-256), canon (RFC 8785), rfc3161 (time-stamp tokens).
//
// names.go has identifiers, manifest.go, custody.go, seal.go, proof.go and
// policy.go the documents, bundle.go the ZIP, checkseal.go, exhibit.go and
// verify.go the verifier, report.go its answer. docs/bundle.md is the
// byte-level specification; where the two differ, the code is wrong.
package holdfast
