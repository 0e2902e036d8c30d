package export

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// VerifyScript returns verify.sh, which checks a Bundle with bash, openssl,
// sha256sum, xxd, awk and unzip alone. Every Bundle holds a copy; who wants to
// rely on it takes it from a release instead.
func VerifyScript() []byte { return []byte(verifyScript) }

//go:embed verify.sh
var verifyScript string

// bag writes the files outside data/: those of BagIt 1.0 (RFC 8493), the page
// and the script. No signature covers them.
func (w *writer) bag(ctx context.Context) error {
	if err := w.zip.add(pathVerify, VerifyScript()); err != nil {
		return err
	}
	if err := w.zip.add(pathBagIt, []byte("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")); err != nil {
		return err
	}
	if err := w.zip.add(pathBagInfo, w.bagInfo()); err != nil {
		return err
	}
	if err := w.zip.checksums(pathManifest, isData); err != nil {
		return err
	}
	if err := w.page(ctx); err != nil {
		return err
	}
	return w.zip.checksums(pathTagManifest, func(path string) bool { return !isData(path) })
}

func (w *writer) bagInfo() []byte {
	var bytes, files int64
	for i := range w.zip.list {
		if e := &w.zip.list[i]; isData(e.path) {
			bytes, files = bytes+e.size, files+1
		}
	}
	b := fmt.Appendf(nil, "Bag-Software-Agent: %s\nBagging-Date: %s\n", oneLine(w.Software.Name+" "+w.Software.Version), w.Exported.UTC().Format("2006-01-02"))
	b = fmt.Appendf(b, "Bag-Size: %d bytes\nPayload-Oxum: %d.%d\nExternal-Identifier: %s\n", bytes, bytes, files, w.Node)
	if k := w.Part; k != nil {
		b = fmt.Appendf(b, "Bag-Count: %d of %d\n", k.Number, k.Of)
		if group := strings.TrimSpace(oneLine(k.Group)); group != "" { // an empty value is no line of a bag
			b = fmt.Appendf(b, "Bag-Group-Identifier: %s\n", group)
		}
	}
	if w.Training {
		b = append(b, "Holdfast-Training: TRAINING - a rehearsal, not evidence\n"...)
	}
	return b
}

// oneLine keeps a value from adding lines to a tag file, for any reader's idea
// of a line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, s)
}

// checksums writes what `sha256sum -c` reads.
func (a *archive) checksums(path string, want func(string) bool) error {
	order := a.sorted(want)
	return a.stream(path, -1, func(dst io.Writer) error {
		for _, k := range order {
			if _, err := fmt.Fprintf(dst, "%s  %s\n", a.list[k].digest.Hex(), a.list[k].path); err != nil {
				return err
			}
		}
		return nil
	})
}
