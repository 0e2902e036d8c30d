package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdNoSecret is `nosecret FILE SECRET`: the ZIP has the secret nowhere, not in its
// archives within archives, in no form.
func cmdNoSecret(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: nosecret FILE SECRET")
	}
	secret := args[1]
	forms := []string{secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret))}
	for i := range 3 {
		e := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", i) + secret))
		forms = append(forms, e[4:len(e)-4])
	}
	found, files := []string{}, 0
	var look func(name string, b []byte)
	look = func(name string, b []byte) {
		files++
		for _, f := range forms {
			if bytes.Contains(b, []byte(f)) {
				found = append(found, fmt.Sprintf("%s has %s", name, f))
			}
		}
		if z, err := zip.NewReader(bytes.NewReader(b), int64(len(b))); err == nil {
			for _, m := range z.File {
				r, err := m.Open()
				ts.Check(err)
				inner, err := io.ReadAll(r)
				ts.Check(err)
				look(name+"/"+m.Name, inner)
			}
		} else if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			inner, err := io.ReadAll(z) // all members
			ts.Check(err)
			look(name+" unpacked", inner)
		}
	}
	look(args[0], []byte(ts.ReadFile(args[0])))
	if files < 20 {
		ts.Fatalf("%s has %d files only", args[0], files)
	}
	if neg == (len(found) == 0) {
		ts.Fatalf("%d files, found: %s", files, strings.Join(found, "\n"))
	}
}
