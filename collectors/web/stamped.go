package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
	"holdfast/collectors/web/stamp"
	"holdfast/hashing"
)

const pictureTime = "2006-01-02 15:04:05.000 UTC"

// stamp makes of the pictures one with a band above it, which says of what page, when,
// and what the pictures' Digests are. They stay as they are. The error is the disk's.
func (x *capture) stamp() error {
	var pictures []file
	for _, f := range x.view.files {
		if f.role == "screenshot" {
			pictures = append(pictures, f)
		}
	}
	if len(pictures) == 0 {
		return nil // there is a reason already
	}
	f := file{name: "stamped.png", role: "stamped", mediaType: "image/png", path: filepath.Join(x.dir, "stamped.png"),
		derived: &collectors.Transformation{Action: "stamp", Detail: "a band with address, time and digests above the picture, tiles joined; below it no pixel is changed"}}
	lines := x.band()
	var in []io.ReadSeeker
	for _, p := range pictures {
		r, err := os.Open(p.path)
		if err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
		defer r.Close()
		d, _, err := hashing.Copy(io.Discard, r)
		if err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
		in = append(in, r)
		lines = append(lines, d.String()+" "+p.name)
		f.derived.Inputs = append(f.derived.Inputs, p.name)
	}
	out, err := os.Create(f.path)
	if err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	w := &diskWriter{w: out}
	err = stamp.Write(w, lines, in...)
	if w.err = errors.Join(w.err, out.Close()); w.err != nil {
		return fmt.Errorf("write %s: %w", f.name, w.err)
	}
	if err != nil {
		x.view.because("stamped-failed", err)
		return nil
	}
	x.view.files = append(x.view.files, f)
	return nil
}

// band is what stands above the picture, before the Digests.
func (x *capture) band() []string {
	lines := []string{stamp.ASCII(x.current())}
	if !sameAddress(x.current(), x.address) {
		lines = append(lines, "asked for "+stamp.ASCII(x.address))
	}
	return append(lines, "pictured "+x.view.pictured.UTC().Format(pictureTime)+" by the clock of the node")
}

// Bounds of the PDF. A page of any length makes one of any size.
const (
	maxPDF     = 100 << 20
	printLimit = 20 * time.Second
	pdfPiece   = 512 << 10 // in base64 it is a message that is held in memory
)

// print makes the PDF, as the page is printed. That of a tall page takes the browser
// hundreds of megabytes, and has no tags for screen readers: they are a third of the work,
// and half of the file.
func (t *tab) print(ctx context.Context, dir string, v *view) error {
	f := file{name: "page.pdf", role: "pdf", mediaType: "application/pdf"}
	how := "as the page's own rules for print say, A4 where they do not, with backgrounds"
	if v.height <= tallPage {
		f.derived = made("print", how)
		return v.save(ctx, dir, f, printLimit, func(ctx context.Context, w io.Writer) error { return t.pdf(ctx, true, w) })
	}
	f.derived = made("print", how+", without tags for screen readers")
	return holding(ctx, t.b.printer, func() error {
		return v.save(ctx, dir, f, printLimit, func(ctx context.Context, w io.Writer) error { return t.pdf(ctx, false, w) })
	})
}

// printing is the command, which rod's type cannot ask to leave the tags out.
type printing struct {
	proto.PagePrintToPDF
	Tagged bool `json:"generateTaggedPDF"`
}

func (t *tab) pdf(ctx context.Context, tagged bool, w io.Writer) error {
	width, height := 8.27, 11.69 // inches
	s := t.session.with(ctx)
	p := printing{proto.PagePrintToPDF{PrintBackground: true, PreferCSSPageSize: true, PaperWidth: &width, PaperHeight: &height,
		TransferMode: proto.PagePrintToPDFTransferModeReturnAsStream}, tagged}
	b, err := s.Call(ctx, s.id, p.ProtoReq(), p)
	if err != nil {
		return err
	}
	var r proto.PagePrintToPDFResult
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	defer s.tell(proto.IOClose{Handle: r.Stream})
	size, piece := 0, pdfPiece
	for {
		got, err := proto.IORead{Handle: r.Stream, Size: &piece}.Call(s)
		if err != nil {
			return err
		}
		b := []byte(got.Data)
		if got.Base64Encoded {
			if b, err = base64.StdEncoding.DecodeString(got.Data); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
		if size += len(b); size > maxPDF {
			return fmt.Errorf("print: the PDF has more than %d bytes", maxPDF)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		if got.EOF {
			return nil
		}
	}
}
