package stream

import (
	"bytes"
	"fmt"
	"math/big"
	"strings"
)

// mp4 takes a piece of MP4: what it says of the track, and the words in it.
func (w *Words) mp4(piece []byte) error {
	list, err := boxes(piece)
	if err != nil {
		return err
	}
	for _, b := range list {
		switch b.kind {
		case "moov":
			t, ok := readTextTrack(b.body)
			if !ok {
				return fmt.Errorf("%w: there is no track of words", errMP4)
			}
			if w.track == nil {
				w.config(t.config)
			} else if *w.track != t {
				return fmt.Errorf("%w: it changes its form on the way", errMP4)
			}
			w.track = &t
		case "moof":
			if w.track == nil {
				return fmt.Errorf("%w: what goes before its pieces is missing", errMP4)
			}
			some, err := w.track.samples(piece, b, maxSamples-w.samples)
			if err != nil {
				return err
			}
			w.samples += len(some)
			for _, s := range some {
				if err := w.sample(s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// config takes the styles and regions of the track's head.
func (w *Words) config(head string) {
	w.seen = map[cue]bool{}
	_, body, _ := strings.Cut(oneLine.Replace(strings.ToValidUTF8(head, "\uFFFD")), "\n\n")
	for block := range blocks(body) {
		if word := strings.TrimRight(first(block), " \t"); (word == "STYLE" || word == "REGION") && !strings.Contains(block, "-->") {
			w.styles = append(w.styles, block)
		}
	}
}

// sample takes the words that are shown from its beginning to its end. Those that were
// shown until then are shown on: a cue goes through as many samples as others begin or end
// beside it.
func (w *Words) sample(s sample) error {
	from, to := w.track.milliseconds(s.from), w.track.milliseconds(s.to)
	if to > maxHours*3_600_000 {
		return fmt.Errorf("%w: a time is too late", errMP4)
	}
	if w.track.form == "stpp" {
		return w.document(s.body)
	}
	list, err := boxes(s.body)
	if err != nil {
		return err
	}
	var now []cue
	for _, b := range list {
		if b.kind != "vttc" {
			continue // nothing is shown (vtte), or a comment (vtta)
		}
		c := vttc(b.body)
		c.from, c.to = from, to
		for i, o := range w.open {
			if o.name == c.name && o.settings == c.settings && o.text == c.text && o.to == c.from {
				c.from = o.from
				w.open = append(w.open[:i:i], w.open[i+1:]...)
				w.Repeated++
				break
			}
		}
		if now = append(now, c); len(now) > maxAtOnce {
			return errTooMuch
		}
	}
	if err := w.shut(); err != nil {
		return err
	}
	w.open = now
	return nil
}

const maxAtOnce = 1000 // cues that are shown together

// shut takes the cues that are not shown on.
func (w *Words) shut() error {
	for _, c := range w.open {
		if err := w.take(c, 0); err != nil {
			return err
		}
	}
	w.open = nil
	return nil
}

// vttc reads a cue. What would end it, or begin another, in a file of WebVTT is written
// so that it does not.
func vttc(body []byte) (c cue) {
	list, err := boxes(body)
	if err != nil {
		return c
	}
	for _, b := range list {
		text := strings.ReplaceAll(oneLine.Replace(strings.ToValidUTF8(string(b.body), "\uFFFD")), "-->", "--&gt;")
		switch b.kind {
		case "iden":
			c.name = strings.Join(strings.Fields(text), " ")
		case "sttg":
			c.settings = strings.Join(strings.Fields(text), " ")
		case "payl":
			for strings.Contains(text, "\n\n") {
				text = strings.ReplaceAll(text, "\n\n", "\n")
			}
			c.text = strings.Trim(text, "\n")
		}
	}
	return c
}

// milliseconds of a time in ticks, without what is lost below one.
func (t *textTrack) milliseconds(ticks uint64) int64 {
	n := new(big.Int).SetUint64(ticks)
	n.Mul(n, big.NewInt(1000)).Div(n, new(big.Int).SetUint64(t.scale))
	if !n.IsInt64() {
		return 1 << 62
	}
	return n.Int64()
}

// document takes one of TTML: it is kept as it is, so there can be one alone.
func (w *Words) document(b []byte) error {
	switch b = bytes.TrimSpace(b); {
	case len(b) == 0 || bytes.Equal(b, w.ttml):
		return nil
	case w.ttml != nil:
		return fmt.Errorf("%w: they are several documents of TTML, which make no one file", errMP4)
	}
	w.ttml = bytes.Clone(b)
	return nil
}

// Form is how the file is called that WriteTo writes, and its media type.
func (w *Words) Form() (ending, mediaType string) {
	if w.track != nil && w.track.form == "stpp" {
		return "ttml", "application/ttml+xml"
	}
	return "vtt", "text/vtt"
}
