package telegram

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/collectors/telegram/telegramtest"
)

// TestFileCentreDies: a data centre that has files may break, refuse, or forget the
// account in the middle of one: the Line goes on, nobody is logged out, it is not
// asked again and again, and the file goes on later where it was.
func TestFileCentreDies(t *testing.T) {
	var fault atomic.Pointer[error]
	var begun, parts atomic.Int64
	w := telegramtest.NewWorld()
	k := &filesWorld{w: w, partial: t.TempDir()}
	k.next()
	k.s = start(t, w, telegramtest.Options{FaultAt: func(dc int, method string) error {
		if dc != telegramtest.FileDC {
			return nil
		}
		switch method {
		case "help.getConfig":
			begun.Add(1)
		case "upload.getFile":
			if parts.Add(1) != 2 {
				return nil
			}
			return telegramtest.ErrHangUp
		default:
			return nil
		}
		if err := fault.Load(); err != nil {
			return *err
		}
		return nil
	}})
	k.c = k.collector(openLine(t, k.s, "a1"))
	for _, bad := range []error{tgerr.New(401, "AUTH_KEY_UNREGISTERED"), tgerr.New(400, "API_ID_INVALID"), tgerr.New(500, "INTERNAL"), telegramtest.ErrHangUp} {
		k.next()
		film := random(3*partSize + 5)
		k.post(w.Document(k.file+1, "film.mp4", "video/mp4", film))
		f := k.fileOf(t)
		fault.Store(nil)
		if s, err := take(t, k.c, k.another(t, w)); err != nil || s.Outcome != collectors.Complete { // the connection stands
			t.Fatalf("%v: %v", bad, err)
		}
		fault.Store(&bad)
		begun.Store(0)
		parts.Store(0)
		since := time.Now()
		_, err := k.c.Collect(t.Context(), collectors.Request{Source: f.Source, Options: f.Options}, &collectorstest.Keeper{})
		var later *collectors.Later
		if !errors.As(err, &later) || time.Until(later.At) < 30*time.Second || !strings.Contains(later.Why, errElsewhere.Error()) || errors.Is(err, ErrLoggedOut) {
			t.Errorf("%v: %v", bad, err)
		}
		if n := begun.Load(); n < 1 || n > 2*maxDeaths {
			t.Errorf("%v: connected %d times in %s", bad, n, time.Since(since))
		}
		if x, err := k.c.o.Line.ask(t.Context(), &tg.UpdatesGetStateRequest{}); err != nil || len(x.Answer) == 0 {
			t.Fatalf("%v: the Line has ended: %v", bad, err)
		}
		fault.Store(nil)
		s, err := take(t, k.c, f)
		if err != nil || s.Outcome != collectors.Complete || !bytes.Equal(s.object(t, "file.mp4"), film) || parts.Load() != 5 {
			t.Errorf("%v: %v, %d parts were asked for, the second twice", bad, err, parts.Load())
		}
		parts.Store(1 << 20)
	}
}

// another posts a small file in a channel of its own, and asks for it.
func (k *filesWorld) another(t *testing.T, w *telegramtest.World) collectors.Further {
	t.Helper()
	of := &filesWorld{w: w, s: k.s, c: k.c, partial: k.partial, file: k.file}
	of.next()
	k.file = of.file
	of.post(w.Document(of.file+1, "note.txt", "text/plain", []byte("small")))
	return of.fileOf(t)
}
