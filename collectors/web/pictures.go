package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/go-rod/rod/lib/proto"
)

// Bounds of the pictures of a page, in pixels. The browser composes without a graphics
// processor (see flags), where no texture's limit holds: what bounds a picture is memory,
// ten bytes a pixel for as long as it is made.
const (
	maxPicture = viewWidth * maxTile // of one
	maxTile    = 16_000              // its rows
	maxShown   = 64_000              // rows of the page that are pictured
	tallPage   = 16_000              // rows above which a PDF, too, takes the browser hundreds of megabytes
)

// screenshots makes the full page, in tiles if it is high.
func (t *tab) screenshots(ctx context.Context, dir string, v *view) error {
	m, err := proto.PageGetLayoutMetrics{}.Call(t.session.with(ctx))
	if err == nil && m.CSSContentSize == nil {
		err = errors.New("not told")
	}
	if err != nil {
		v.because("screenshot-failed", fmt.Errorf("size of the page: %w", err))
		return nil
	}
	width := math.Min(math.Max(m.CSSContentSize.Width, viewWidth), 4*viewWidth)
	height := math.Max(m.CSSContentSize.Height, viewHeight)
	shown := math.Min(height, maxShown)
	v.pictured, v.height = time.Now(), height
	tile := math.Floor(math.Min(maxTile, maxPicture/width))
	for i, y := 0, 0.0; y < shown; i, y = i+1, y+tile {
		clip := &proto.PageViewport{Y: y, Width: width, Height: math.Min(tile, shown-y), Scale: 1}
		f := file{name: "screenshot.png", role: "screenshot", mediaType: "image/png",
			derived: made("screenshot", fmt.Sprintf("pixels %.0f to %.0f of %.0f from the top, %.0f wide", y, y+clip.Height, height, width))}
		if i > 0 {
			f.name = fmt.Sprintf("screenshot-%d.png", i+1)
		}
		err := t.alone(ctx, func() error {
			return v.save(ctx, dir, f, 20*time.Second, func(ctx context.Context, w io.Writer) error { return t.shoot(ctx, clip, w) })
		})
		if err != nil {
			return err
		}
	}
	if shown < height || m.CSSContentSize.Width > width {
		v.because("screenshot-clipped", fmt.Errorf("the page is %.0f x %.0f pixels, the pictures show %.0f x %.0f", m.CSSContentSize.Width, height, width, shown))
	}
	return nil
}

// alone does what takes the browser hundreds of megabytes while no other page of it does.
func (t *tab) alone(ctx context.Context, do func() error) error { return holding(ctx, t.b.camera, do) }

// holding does it while there is room for it among those who do the like.
func holding(ctx context.Context, room chan struct{}, do func() error) error {
	select {
	case room <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-room }()
	return do()
}

// isBeyond says whether a page of this size is larger than the window.
func isBeyond(width, height float64) bool { return width > viewWidth || height > viewHeight }

// shoot makes one picture. A browser that does not paint what lies beyond the window (see
// [paintBeyond]) pictures it by telling the page for a moment that its window is of 1 x 1
// pixels, and lays it out so; any other picture tells the page nothing.
func (t *tab) shoot(ctx context.Context, clip *proto.PageViewport, w io.Writer) error {
	tell := isBeyond(clip.X+clip.Width, clip.Y+clip.Height) && !t.b.paintsAll(ctx)
	t.resized = t.resized || tell
	return t.picture(ctx, clip, tell, w)
}

// picture asks for one, whatever the page is told then.
func (t *tab) picture(ctx context.Context, clip *proto.PageViewport, beyond bool, w io.Writer) error {
	out := newDecoding(w)
	err := t.session.with(ctx).blob(proto.PageCaptureScreenshot{Format: proto.PageCaptureScreenshotFormatPng, Clip: clip,
		FromSurface: true, CaptureBeyondViewport: beyond, OptimizeForSpeed: true}, "data", out)
	return out.end(err)
}
