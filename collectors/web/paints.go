package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"sync"
	"time"

	"github.com/go-rod/rod/lib/proto"
)

// paintBeyond is the switch by which the browser paints what lies beyond the window too, so
// that it can be pictured with nothing told to the page. What a page can ask about itself
// (its window, what intersects it, what is loaded lazily) is the same with it and without.
const paintBeyond = "--blink-settings=mainFrameClipsContent=false"

// paints says whether the browser does what paintBeyond asks. A browser that does not know
// the switch would give white where the page is, and say nothing: so it is tried, once in
// each browser and before its first picture beyond the window.
type paints struct {
	mu    sync.Mutex
	tried bool
	all   bool
}

// Where the page of the trial has what its picture must show: far below the window.
const (
	trialLimit = 5 * time.Second
	trialAt    = 20 * viewHeight
	trialPage  = `<!doctype html><html style="background:#fff"><body style="margin:0"><div style="height:%dpx"></div><div style="height:100px;background:#00a040"></div>`
)

// paintsAll tries it. What could not be tried is taken for no, and tried again by the next
// who asks: the picture is then made the way that every browser knows, and the page told.
func (b *browser) paintsAll(ctx context.Context) bool {
	b.paints.mu.Lock()
	defer b.paints.mu.Unlock()
	if !b.paints.tried {
		ctx, cancel := context.WithTimeoutCause(ctx, trialLimit, errDeadline)
		defer cancel()
		all, err := b.trial(ctx)
		b.paints.tried, b.paints.all = err == nil, all && err == nil
	}
	return b.paints.all
}

// trial pictures a page of ours, in a context of its own that has no way out.
func (b *browser) trial(ctx context.Context) (bool, error) {
	log := &commandLog{} // of no capture
	defer b.forget(log)
	t, err := b.openTab(ctx, "http://127.0.0.1:9", log)
	if err != nil {
		return false, err
	}
	defer t.close()
	if err := (proto.PageSetDocumentContent{FrameID: proto.PageFrameID(t.target), HTML: fmt.Sprintf(trialPage, trialAt)}).Call(t.session.with(ctx)); err != nil {
		return false, err
	}
	var out bytes.Buffer
	clip := &proto.PageViewport{Y: trialAt - 10, Width: 10, Height: 20, Scale: 1}
	if err := t.picture(ctx, clip, false, &out); err != nil {
		return false, err
	}
	m, err := png.Decode(&out)
	if err != nil {
		return false, fmt.Errorf("trial of pictures: %w", err)
	}
	if m.Bounds().Dx() != 10 || m.Bounds().Dy() != 20 {
		return false, errors.New("trial of pictures: another size")
	}
	above, below := color.RGBAModel.Convert(m.At(5, 5)), color.RGBAModel.Convert(m.At(5, 15))
	return above == color.RGBA{255, 255, 255, 255} && below == color.RGBA{0, 0xa0, 0x40, 255}, nil
}
