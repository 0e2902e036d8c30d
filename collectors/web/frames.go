package web

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-rod/rod/lib/proto"
)

// Bounds of what is taken of frames.
const (
	maxFrames    = 12
	maxFrameText = 256 << 10 // characters of one
	framesTime   = 5 * time.Second
)

const (
	framedScript    = `JSON.stringify(document.querySelector('iframe, frame, object, embed') !== null)`
	frameTextScript = `(() => {` + lookLibrary + ` return JSON.stringify(document.body ? text(document.body, %d) : '') })()`
)

// framesText keeps the visible text of the frames of the page, each under its address: the
// page's own text has nothing of them. A page without frames is asked once.
func (t *tab) framesText(ctx context.Context, world proto.RuntimeExecutionContextID, dir string, v *view) error {
	var framed bool
	if (scene{t.session, world}).see(ctx, framedScript, &framed) != nil || !framed {
		return nil
	}
	fctx, cancel := context.WithTimeoutCause(ctx, framesTime, errDeadline)
	defer cancel()
	var b strings.Builder
	for _, f := range t.frames(fctx) {
		var text string
		if f.see(fctx, fmt.Sprintf(frameTextScript, maxFrameText), &text) == nil && strings.TrimSpace(text) != "" {
			fmt.Fprintf(&b, "# %s\n%s\n\n", clean(f.url), strings.ToValidUTF8(text, "\uFFFD"))
		}
	}
	if b.Len() == 0 {
		return nil
	}
	f := file{name: "frames.txt", role: "frames", mediaType: "text/plain", derived: made("extract-text", fmt.Sprintf("text as laid out of at most %d frames, each behind a line with # and its address", maxFrames))}
	return v.save(ctx, dir, f, framesTime, func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, b.String())
		return err
	})
}
