package sealtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openssl takes what must be right and refuses what must be wrong: else a test
// that uses a mode would show nothing.
func TestModesAgainstOpenSSL(t *testing.T) {
	a := NewAuthority(t, "Operator A")
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	data, roots, query := file("data", []byte("holdfast")), file("roots.pem", a.RootsPEM), filepath.Join(dir, "query")
	if out, err := exec.Command("openssl", "ts", "-query", "-data", data, "-sha256", "-cert", "-out", query).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	request, err := os.ReadFile(query)
	if err != nil {
		t.Fatal(err)
	}
	for mode, complaint := range map[Mode]string{
		"": "", P384: "", RSA256: "", RSA512: "", OtherIssuer: "", WrongPolicy: "", Clock(time.Hour): "", Clock(-time.Hour): "",
		WrongImprint: "message imprint mismatch", WrongNonce: "nonce mismatch", NoNonce: "nonce not returned", BadSignature: "signature failure",
		WrongEKU: "certificate verify error", TwoEKUs: "certificate verify error", LooseEKU: "certificate verify error", Expired: "certificate verify error",
		OtherRoot: "certificate verify error", NoCertificate: "signer certificate not found", Rejecting: "quota exceeded", Truncated: "verification: failed", Garbage: "verification: failed",
	} {
		a.SetMode(mode)
		reply := file("reply", a.Issue(context.Background(), request))
		out, err := exec.Command("openssl", "ts", "-verify", "-queryfile", query, "-in", reply, "-CAfile", roots).CombinedOutput()
		if (err == nil) != (complaint == "") || !strings.Contains(strings.ToLower(string(out)), complaint) {
			t.Errorf("%s: %v, want %q\n%s", mode, err, complaint, out)
		}
	}
	if a.Requests() != 0 {
		t.Error("requests in process are counted as HTTP")
	}
}
