//go:build deps

package holdfast

import (
	_ "github.com/cenkalti/backoff/v5"
	_ "github.com/digitorus/timestamp"
	_ "github.com/gabriel-vasile/mimetype"
	_ "github.com/go-rod/rod"
	_ "github.com/gowebpki/jcs"
	_ "github.com/klauspost/compress/gzip"
	_ "github.com/nlnwa/gowarc"
	_ "github.com/nlnwa/whatwg-url/url"
	_ "github.com/refraction-networking/utls"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/santhosh-tekuri/jsonschema/v6"
	_ "github.com/schollz/progressbar/v3"
	_ "github.com/sigstore/sigstore-go/pkg/verify"
	_ "github.com/sigstore/sigstore/pkg/signature/kms"
	_ "github.com/spf13/cobra"
	_ "github.com/transparency-dev/tessera"
	_ "github.com/transparency-dev/tessera/storage/posix"
	_ "golang.org/x/mod/sumdb/note"
	_ "golang.org/x/mod/sumdb/tlog"
	_ "golang.org/x/net/html"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
	_ "golang.org/x/text/language"
	_ "golang.org/x/text/unicode/norm"
	_ "modernc.org/sqlite"
)
