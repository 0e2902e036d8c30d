// Command sigstorego judges one key-signed Sigstore bundle with sigstore-go,
// offline: the signature by the given key, one transparency-log entry, one
// signed timestamp, and the artifact among the signed subjects.
//
//	sigstorego BUNDLE TRUSTED_ROOT PUBKEY.pem MANIFEST
//
// It is a stranger's opinion about holdfast's Seals: nothing of holdfast is
// imported. Exit 0: verified, 1: refused (the reason on stderr), 2: usage.
package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: sigstorego BUNDLE TRUSTED_ROOT PUBKEY.pem MANIFEST")
		os.Exit(2)
	}
	said, err := judge(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
	fmt.Println("verified:", said)
}

// judge returns one line about what sigstore-go accepted.
func judge(bundlePath, rootPath, keyPath, manifestPath string) (string, error) {
	b, err := bundle.LoadJSONFromPath(bundlePath)
	if err != nil {
		return "", fmt.Errorf("read bundle: %w", err)
	}
	trust, err := material(rootPath, keyPath)
	if err != nil {
		return "", err
	}
	manifest, err := os.ReadFile(manifestPath)
	if err != nil {
		return "", fmt.Errorf("read manifest: %w", err)
	}
	verifier, err := verify.NewVerifier(trust, verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1))
	if err != nil {
		return "", fmt.Errorf("make verifier: %w", err)
	}
	result, err := verifier.Verify(b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(manifest)), verify.WithKey()))
	if err != nil {
		return "", fmt.Errorf("verify bundle: %w", err)
	}
	return fmt.Sprintf("%d subjects, %d timestamps, %s",
		len(result.Statement.GetSubject()), len(result.VerifiedTimestamps), result.Statement.GetPredicateType()), nil
}

// material joins the logs and authorities of a trusted root with one public
// key, which answers for every key hint: a hint is no proof of anything.
func material(rootPath, keyPath string) (root.TrustedMaterial, error) {
	trusted, err := root.NewTrustedRootFromPath(rootPath)
	if err != nil {
		return nil, fmt.Errorf("read trusted root: %w", err)
	}
	key, err := readKey(keyPath)
	if err != nil {
		return nil, err
	}
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	always := root.NewExpiringKey(verifier, time.Time{}, time.Time{})
	byHint := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return always, nil })
	return root.TrustedMaterialCollection{trusted, byHint}, nil
}

func readKey(path string) (crypto.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("read key: no PUBLIC KEY block in the file")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse key: %w", err)
	}
	return key, nil
}
